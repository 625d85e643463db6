"""The research protocol: leave-sources-out scores, channel conditions, ablations, results."""
