"""How good a detector is: metrics, evaluations by group, and their reports."""
