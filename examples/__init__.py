"""Example requests, and the demo (`make demo`)."""
