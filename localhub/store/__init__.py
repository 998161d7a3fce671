"""The state of the local Hub: objects, repositories, users."""
