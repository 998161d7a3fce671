"""The settings, and the places that they come from."""
