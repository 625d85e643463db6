"""Serving: the HTTP service and the page. It knows the core alone, no training library."""
