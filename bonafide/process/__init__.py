"""The one place that starts processes: pool, isolated call, confined worker, service."""
