"""The front end: its parameters, its graph, and the statistics over time."""
