"""Research: the protocol, ablations, channel conditions, and the page of results."""
