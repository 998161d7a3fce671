"""The Slack reporter against the Slack double: one message with a thread for a bot, plain ones for a webhook."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from hugflow.model.errors import RetryAfter, Terminal, Transient
from hugflow.model.events import Progress, RunFinished, RunStarted, Warned
from hugflow.report.outbox import SLACK_LIMITS, Limit, Outbox
from hugflow.slack import BotChannel, Heading, SlackReporter, WebhookChannel, blocks
from tests.doubles.slack import Slack
from tests.support import sample_views as sample
from tests.unit.render.test_humanize import HOSTILE

HEADING = Heading("Pull request #12", "https://github.example/acme/data/pull/12", "https://github.example/run/1")


@pytest.fixture
def slack(canaries: Mapping[str, str]) -> Iterator[Slack]:
    """A workspace without rate limits."""
    with Slack() as server:
        server.tokens.add(canaries["SLACK_BOT_TOKEN"])
        yield server


@pytest.fixture
def bot(slack: Slack, canaries: Mapping[str, str]) -> BotChannel:
    """The channel as a bot sees it."""
    return BotChannel(canaries["SLACK_BOT_TOKEN"], "C1", api_url=slack.api)


@pytest.fixture
def webhook(slack: Slack) -> WebhookChannel:
    """The channel behind a webhook."""
    return WebhookChannel(slack.webhook)


def tell(channel: BotChannel | WebhookChannel, limits: tuple[Limit, ...] = (), **options: object) -> list[str]:
    """A whole run of two requests, told to a channel; returns the warnings."""
    warnings: list[str] = []
    plan, second = sample.add_plan(), sample.add_plan(sample.SECOND, "acme/radio", 1_250_000)
    with Outbox("Slack", limits, warnings.append) as outbox:
        reporter = SlackReporter(channel, outbox, HEADING, interval_rows=1000, **options)  # type: ignore[arg-type]  # its fields
        reporter(RunStarted(plan.request, plan))
        for done in range(100, 24_690, 100):
            reporter(Progress(plan.request, plan.name, 24_690, done, 0, done, done * 33_000, done / 7))
        reporter(RunFinished(sample.result()))
        reporter(RunStarted(second.request, second))
        reporter(Warned(second.request, "the link could not be made"))
        failed = replace(
            sample.result(second.request), status="failed", name=second.name, error="the Hub answered 503", fix="Wait."
        )
        reporter(RunFinished(failed))
        reporter.finish()
    return warnings


def texts(blocks: list[dict[str, object]]) -> str:
    """All text of a message's blocks."""
    return str(blocks)


def test_a_bot_updates_one_message_and_tells_the_rest_in_its_thread(slack: Slack, bot: BotChannel) -> None:
    assert tell(bot) == []
    (parent,) = slack.parents()
    assert parent.text == "Hugflow: 1 failed, 1 in storage"
    assert "acme/voices" in texts(parent.blocks)
    assert "acme/radio" in texts(parent.blocks)
    assert "pull/12" in texts(parent.blocks)
    thread = slack.thread(parent.ts)
    assert [message.text.split(" ")[0] for message in thread] == [
        "Started",
        "acme__voices__split_train__rev_main",
        "Started",
        "Warning:",
        "acme__radio__split_train__rev_main",
        "Hugflow:",
    ]
    assert [message.broadcast for message in thread] == [False] * 5 + [True]
    assert "the Hub answered 503" in texts(thread[4].blocks)


def test_the_one_message_is_updated_in_place(slack: Slack, bot: BotChannel) -> None:
    warnings: list[str] = []
    plan = sample.add_plan()
    with Outbox("Slack", (), warnings.append) as outbox:
        reporter = SlackReporter(bot, outbox, HEADING, interval_rows=1000)
        reporter(RunStarted(plan.request, plan))
        while len(slack.messages) < 2:
            time.sleep(0.01)
        before = slack.parents()[0].text
        reporter(Progress(plan.request, plan.name, 24_690, 12_345, 0, 12_345, 1, 60.0))
        reporter(RunFinished(sample.result()))
    (parent,) = slack.parents()
    assert (before, parent.text) == ("Hugflow: 1 running", "Hugflow: 1 in storage")
    assert parent.revisions > 0


def test_a_webhook_writes_plain_messages(slack: Slack, webhook: WebhookChannel) -> None:
    assert tell(webhook) == []
    assert all(message.by_webhook for message in slack.messages)
    words = [message.text for message in slack.messages]
    assert words[0].startswith("Started acme__voices")
    assert words[-1] == "Hugflow: 1 failed, 1 in storage"
    assert sum("100%" in word.replace("\u00a0", "") or "left" in word for word in words) <= 24


def test_one_message_a_second_is_never_exceeded(canaries: Mapping[str, str]) -> None:
    with Slack(seconds_per_message=1.0) as server:
        server.tokens.add(canaries["SLACK_BOT_TOKEN"])
        channel = BotChannel(canaries["SLACK_BOT_TOKEN"], "C1", api_url=server.api)
        assert tell(channel, SLACK_LIMITS) == []
        assert server.limited == 0
        assert len(server.thread(server.parents()[0].ts)) == 6


def test_slack_that_is_down_for_a_while_is_told_later(slack: Slack, bot: BotChannel) -> None:
    slack.fault(route="chat", status=503, count=1)
    slack.fault(route="chat", reset=True, count=1)
    assert tell(bot) == []
    (parent,) = slack.parents()
    assert parent.text == "Hugflow: 1 failed, 1 in storage"


def test_slack_that_stays_down_is_a_warning(slack: Slack, bot: BotChannel) -> None:
    slack.fault(route="chat", status=500)
    warnings: list[str] = []
    outbox = Outbox("Slack", (), warnings.append, close_timeout_s=0.2)
    reporter = SlackReporter(bot, outbox, HEADING)
    reporter(RunFinished(sample.result()))
    outbox.close()
    assert len(warnings) == 1
    assert warnings[0].startswith("not everything was reported to Slack")
    assert "Slack answered 500" in warnings[0]


def test_a_message_that_was_deleted_is_written_again(slack: Slack, bot: BotChannel) -> None:
    warnings: list[str] = []
    outbox = Outbox("Slack", (), warnings.append)
    reporter = SlackReporter(bot, outbox, HEADING)
    message = blocks.overview(HEADING, "Hugflow", sample.plan_view())
    reporter._parent = bot.post(message)
    slack.messages.clear()
    reporter(RunFinished(sample.result()))
    outbox.close()
    assert warnings == []
    assert len(slack.parents()) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 429, "retry_after_s": 7}, RetryAfter),
        ({"status": 429}, RetryAfter),
        ({"status": 500}, Transient),
        ({"reset": True}, Transient),
        ({"delay_s": 3}, Transient),
        ({"status": 404}, Terminal),
    ],
)
@pytest.mark.parametrize("kind", ["bot", "webhook"])
def test_what_goes_wrong_has_its_type(
    slack: Slack, canaries: Mapping[str, str], kind: str, fault: dict[str, object], expected: type[Exception]
) -> None:
    channel = (
        BotChannel(canaries["SLACK_BOT_TOKEN"], "C1", api_url=slack.api, timeout_s=1)
        if kind == "bot"
        else WebhookChannel(slack.webhook, timeout_s=1)
    )
    slack.fault(route="", **fault)
    with pytest.raises(expected) as caught:
        channel.post(blocks.warned("x"))
    assert canaries["SLACK_BOT_TOKEN"] not in f"{caught.value} {caught.value.__cause__!r}"
    assert "secret" not in str(caught.value)
    if fault.get("retry_after_s"):
        assert caught.value.seconds == 7  # type: ignore[attr-defined]  # a RetryAfter


@pytest.mark.parametrize(
    ("token", "channel", "fix"), [("xoxb-wrong", "C1", "valid bot token"), (None, "C404", "SLACK_CHANNEL")]
)
def test_what_only_people_can_mend_says_how(
    slack: Slack, canaries: Mapping[str, str], token: str | None, channel: str, fix: str
) -> None:
    with pytest.raises(Terminal, match=fix):
        BotChannel(token or canaries["SLACK_BOT_TOKEN"], channel, api_url=slack.api).post(blocks.warned("x"))


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("kind", ["bot", "webhook"])
def test_text_of_others_arrives_as_text(
    slack: Slack, bot: BotChannel, webhook: WebhookChannel, kind: str, value: str
) -> None:
    text = value.encode(errors="replace").decode()
    warnings: list[str] = []
    with Outbox("Slack", (), warnings.append) as outbox:
        reporter = SlackReporter(bot if kind == "bot" else webhook, outbox, Heading(text, "https://x.example/"))
        reporter(Warned("r", text))
        reporter(RunFinished(replace(sample.result(), name=text, status="failed", error=text, fix=text, location=text)))
        reporter.finish()
    assert warnings == []
    for message in slack.messages:
        shown = message.text + texts(message.blocks).replace("<https://x.example/|", "")
        for trigger in ("<!", "<@", "<http", "@here", "@channel", "@everyone", "\x1b"):
            assert trigger not in shown


def test_secrets_are_masked(slack: Slack, bot: BotChannel) -> None:
    def redact(text: str) -> str:
        return text.replace("hunter2", "***")

    warnings: list[str] = []
    with Outbox("Slack", (), warnings.append) as outbox:
        reporter = SlackReporter(bot, outbox, HEADING, redact=redact)
        reporter(Warned("r", "the token is hunter2"))
        reporter(RunFinished(replace(sample.result(), status="failed", error="hunter2", fix="hunter2")))
    assert slack.messages
    assert all("hunter2" not in message.text + texts(message.blocks) for message in slack.messages)


def test_forty_requests_fit_into_a_message(slack: Slack, bot: BotChannel) -> None:
    bot.post(blocks.overview(HEADING, "Hugflow: " + "x" * 500, sample.forty_view()))
    assert len(slack.messages[0].blocks) <= 50
    assert "and 25 requests more" in texts(slack.messages[0].blocks)
