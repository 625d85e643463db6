"""The page for people without a command line: an HTTP client of the service."""
