"""The outbox: delivery in the background, rate limits, retries, and lost reports."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.model.errors import RetryAfter, Terminal, Transient
from hugflow.report.outbox import GITHUB_LIMITS, MAX_MESSAGES, Limit, Mailbox, Outbox, Undelivered

DAY = 86_400


class Log:
    """The delivered messages, in order."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, name: str, *failures: Exception) -> Callable[[], None]:
        """A message that fails with each of `failures` in turn, then leaves."""
        waiting = list(failures)

        def attempt() -> None:
            if waiting:
                raise waiting.pop(0)
            self.sent.append(name)

        return attempt


def down() -> Transient:
    return Transient("commenting", "the server answered 503")


def run(mailbox: Mailbox, until: float, now: float = 0.0) -> list[float]:
    """Deliver everything that may leave before `until`, on a clock that jumps; returns when deliveries began."""
    begun = []
    while (due := mailbox.due_at(now)) is not None and due <= until:
        now = max(now, due)
        message = mailbox.take(now)
        assert message is not None
        begun.append(now)
        try:
            message.send()
        except Exception as error:  # noqa: BLE001 - as the outbox's thread does it
            mailbox.failed(message, error, now)
    return begun


def most_in(span: float, times: list[float]) -> int:
    """The most of `times` that lie within any `span` seconds."""
    return max((sum(start <= at < start + span for at in times) for start in times), default=0)


def test_only_the_newest_of_a_key_leaves_and_keys_keep_their_order() -> None:
    log, mailbox = Log(), Mailbox()
    for name in ("first", "second", "third"):
        mailbox.put("sticky", log.send(name), 0.0)
        mailbox.put("check", log.send(f"check {name}"), 0.0)
    run(mailbox, 1.0)
    assert log.sent == ["third", "check third"]


def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_not() -> None:
    log, mailbox = Log(), Mailbox(jitter=lambda: 0.5)
    mailbox.put("passing", log.send("passing", down(), down()), 0.0)
    mailbox.put("lasting", log.send("lasting", Terminal("commenting", "the token may not")), 0.0)
    assert run(mailbox, 100.0) == [0.0, 0.0, 2.0, 6.0]
    assert log.sent == ["passing"]
    assert mailbox.drain() == [Undelivered("lasting", "the token may not")]


def test_retry_after_holds_everything_back() -> None:
    log, mailbox = Log(), Mailbox(jitter=lambda: 0.5)
    mailbox.put("one", log.send("one", RetryAfter("commenting", "slow down", seconds=60)), 0.0)
    mailbox.put("two", log.send("two"), 0.0)
    assert run(mailbox, 59.0) == [0.0]
    assert run(mailbox, 61.0, now=59.0) == [60.0, 60.0]
    assert sorted(log.sent) == ["one", "two"]


def test_a_newer_message_takes_over_the_waiting_time_of_the_one_that_failed() -> None:
    log, mailbox = Log(), Mailbox(jitter=lambda: 0.5)
    mailbox.put("sticky", log.send("old", down()), 0.0)
    message = mailbox.take(0.0)
    assert message
    mailbox.put("sticky", log.send("new"), 0.0)
    mailbox.failed(message, down(), 0.0)
    assert mailbox.take(1.9) is None
    run(mailbox, 10.0, now=2.0)
    assert log.sent == ["new"]


def test_the_queue_is_bounded_and_gives_up_news_first() -> None:
    log, mailbox = Log(), Mailbox()
    mailbox.put("news", log.send("news"), 0.0, expendable=True)
    for number in range(MAX_MESSAGES):
        mailbox.put(f"final {number}", log.send(str(number)), 0.0)
    assert len(mailbox) == MAX_MESSAGES
    assert mailbox.lost == [Undelivered("news", "too many messages waited", expendable=True)]


@given(
    st.lists(st.tuples(st.floats(0, 300), st.integers(0, 5), st.integers(0, 3)), max_size=80),
    st.lists(st.builds(Limit, st.integers(1, 5), st.floats(0.5, 60)), min_size=1, max_size=3),
)
def test_limits_hold_whatever_comes(puts: list[tuple[float, int, int]], limits: list[Limit]) -> None:
    log, mailbox, now, begun = Log(), Mailbox(limits, jitter=lambda: 0.0), 0.0, []
    for pause, key, failures in puts:
        begun += run(mailbox, now + pause, now)
        now += pause
        mailbox.put(str(key), log.send("x", *[down()] * failures), now)
    begun += run(mailbox, now + 10 * DAY, now)
    assert len(mailbox) == 0
    for limit in limits:
        # a hair less than the window, for the rounding of sums of floats
        assert most_in(limit.seconds * (1 - 1e-9), begun) <= limit.writes


def test_a_day_of_constant_news_stays_within_githubs_limits_even_while_it_is_down() -> None:
    log, mailbox = Log(), Mailbox(GITHUB_LIMITS)
    now, begun = 0.0, []
    while now < DAY:
        github_is_down = 6 * 3600 < now < 9 * 3600
        failures = [down()] * 3 if github_is_down else []
        for key in ("sticky", "check", "label"):
            mailbox.put(key, log.send(key, *failures), now, expendable=True)
        begun += run(mailbox, now + 5, now)
        now += 5
    assert most_in(60, begun) <= 20
    assert most_in(3600, begun) <= 160
    assert len(mailbox) <= 3
    assert len(log.sent) > 20 * 120  # and the news did go out


def outbox(warnings: list[str]) -> Outbox:
    return Outbox("GitHub", (), warnings.append)


def test_everything_leaves_at_the_end_and_nobody_is_warned() -> None:
    log, warnings = Log(), []
    with outbox(warnings) as box:
        for number in range(50):
            box.put(f"message {number}", log.send(str(number)))
    assert log.sent == [str(number) for number in range(50)]
    assert warnings == []


def test_what_does_not_leave_is_warned_about_once_but_not_news() -> None:
    log, warnings = Log(), []
    box = outbox(warnings)
    box.put("final comment", log.send("x", *[down()] * 99))
    box.put("label", log.send("x", Terminal("labelling", "the token may not")))
    box.put("progress", log.send("x", *[down()] * 99), expendable=True)
    undelivered = box.close(0.3)
    assert box.close(0.3) == ()
    assert {each.key for each in undelivered} == {"final comment", "label", "progress"}
    assert len(warnings) == 1
    assert "final comment (the server answered 503)" in warnings[0]
    assert "label (the token may not)" in warnings[0]
    assert "progress" not in warnings[0]


def test_a_reporter_that_hangs_holds_nobody_up() -> None:
    warnings: list[str] = []
    never, begun = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        never.wait(60)

    box = outbox(warnings)
    box.put("first", hang)
    begun.acquire()
    for number in range(2_000):
        box.put("sticky" if number % 2 else f"key {number % 40}", hang)
    assert not begun.acquire(blocking=False)  # all are stored while the first is still on its way
    box.close(0.1)
    assert "has not answered" in warnings[0]
    never.set()


def test_whatever_a_reporter_raises_stays_with_it() -> None:
    warnings: list[str] = []
    log = Log()
    with outbox(warnings) as box:
        box.put("broken", log.send("x", ZeroDivisionError("oops")))
        box.put("whole", log.send("whole"))
    assert log.sent == ["whole"]
    assert "broken (ZeroDivisionError: oops)" in warnings[0]


def test_messages_after_the_end_are_dropped() -> None:
    log, warnings = Log(), []
    box = outbox(warnings)
    box.close()
    box.put("late", log.send("late"))
    assert log.sent == []


@pytest.mark.parametrize("limits", [GITHUB_LIMITS])
def test_the_share_taken_is_below_what_github_allows(limits: tuple[Limit, ...]) -> None:
    allowed = {60.0: 80, 3600.0: 500}
    assert {limit.seconds for limit in limits} >= allowed.keys()
    assert all(3 * limit.writes < allowed[limit.seconds] for limit in limits if limit.seconds in allowed)
