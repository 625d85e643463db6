"""Serving: the HTTP service and the page. It imports the core alone, no training library."""
