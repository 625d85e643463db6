"""Speech-like voices, classic vocoders, and the corpus simulated with them."""
