"""Reading from the Hub: what a repository holds at a commit, and its rows."""
