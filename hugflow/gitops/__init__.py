"""Pull requests: what they ask for, whether it may run, and how its readers are told."""
