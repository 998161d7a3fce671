"""Pull requests on GitHub: read their requests, decide whether they may run, run them, report on them."""
