"""The version of Hugflow."""

__version__ = "0.1.0"
