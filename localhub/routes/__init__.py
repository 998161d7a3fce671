"""The endpoints of the local Hub, a module for each group."""
