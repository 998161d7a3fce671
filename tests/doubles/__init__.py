"""Doubles of GitHub and Slack: servers on 127.0.0.1 with state and programmable faults."""
