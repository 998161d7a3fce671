"""Reading from the Hub: the contents of a repository at a commit, and its rows."""
