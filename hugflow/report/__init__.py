"""Reporters and views for people at a terminal, and for programs that read JSON."""
