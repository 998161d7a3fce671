"""Slack: messages about a run in one channel."""

from hugflow.slack.blocks import Heading
from hugflow.slack.channels import BotChannel, Channel, WebhookChannel
from hugflow.slack.reporter import SlackReporter

__all__ = ["BotChannel", "Channel", "Heading", "SlackReporter", "WebhookChannel"]
