"""Everything on the server's disk: datasets, state, journal, index, locks, trash, and their verification."""
