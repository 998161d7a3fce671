"""Settings: their definitions, and loading from environment, files and command line."""
