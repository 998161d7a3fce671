"""Stand-ins for GitHub and Slack over real sockets on 127.0.0.1, with state and programmable faults."""
