"""Telephone calls, judged while they last: what exchanges send becomes streams of a service."""
