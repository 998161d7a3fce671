"""Changes with every release: the version."""

__version__ = "0.1.0"
