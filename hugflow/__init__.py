"""Hugflow: GitOps for datasets."""

__version__ = "0.1.0"
