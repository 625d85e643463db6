"""The HTTP surface: routes, limits, keys, errors, metrics."""
