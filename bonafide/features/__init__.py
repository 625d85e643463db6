"""The front end: its numbers, its graph, and the statistics over time."""
