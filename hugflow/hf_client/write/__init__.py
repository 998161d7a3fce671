"""Writing to the Hub: uploads, commits, branches, tags."""
