"""The Xet storage protocol, as far as the local Hub speaks it."""
