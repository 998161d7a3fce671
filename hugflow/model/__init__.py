"""The vocabulary that every other package shares: specs, plans, events, results, exit codes and errors."""
