"""Requests to copy, and the demo (`make demo`)."""
