"""Changes that are taken back: at the end of their block, and at the end of the program."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from telegraf_execd_libvirt.connection.requests import Abandoned
from telegraf_execd_libvirt.connection.undo import Changes

SECONDS = 30.0


class Timeout:
    """A value of a daemon; `hold` keeps back the answer to the next change."""

    def __init__(self) -> None:
        self.value = "usual"
        self.asked = threading.Event()
        self.answered = threading.Event()
        self.answered.set()

    def shorten(self) -> None:
        self.asked.set()
        assert self.answered.wait(SECONDS)
        self.value = "short"

    def restore(self) -> None:
        self.value = "usual"


@contextmanager
def running(changes: Changes, timeout: Timeout) -> Iterator[threading.Event]:
    """A thread that has begun a block and stays in it until the event."""
    begun, end = threading.Event(), threading.Event()

    def run() -> None:
        with changes.made(timeout.shorten, timeout.restore):
            begun.set()
            end.wait(SECONDS)

    thread = threading.Thread(target=run)
    thread.start()
    assert timeout.asked.wait(SECONDS) and (not timeout.answered.is_set() or begun.wait(SECONDS))
    try:
        yield end
    finally:
        timeout.answered.set()
        end.set()
        thread.join(SECONDS)
    assert not thread.is_alive() and timeout.value == "usual"


@pytest.mark.parametrize("error", [None, Abandoned(), ValueError()])
def test_a_change_ends_with_its_block(error: Exception | None) -> None:
    """The change is taken back whatever happens in the block."""
    changes, timeout, raised = Changes(), Timeout(), None
    try:
        with changes.made(timeout.shorten, timeout.restore):
            assert timeout.value == "short"
            if error is not None:
                raise error
    except Exception as caught:
        raised = caught
    assert raised is error and timeout.value == "usual"
    changes.end()


def test_a_change_whose_answer_is_lost_is_taken_back() -> None:
    """The daemon may have made it."""
    changes, timeout = Changes(), Timeout()

    def shorten() -> None:
        timeout.shorten()
        raise ConnectionError

    with pytest.raises(ConnectionError), changes.made(shorten, timeout.restore):
        pass
    assert timeout.value == "usual"


@pytest.mark.parametrize("answered", [True, False])
def test_the_end_of_the_program_takes_changes_back(answered: bool) -> None:
    """Also a change that has been asked for and not been answered; after that, none is made."""
    changes, timeout = Changes(), Timeout()
    if not answered:
        timeout.answered.clear()
    with running(changes, timeout):
        threading.Timer(0.0, timeout.answered.set).start()
        changes.end(SECONDS)
        assert timeout.value == "usual"
        with pytest.raises(Abandoned), changes.made(timeout.shorten, timeout.restore):
            pass
        assert timeout.value == "usual"


def test_a_daemon_that_hangs_does_not_delay_the_end() -> None:
    """A change that is not answered is not waited for."""
    changes, timeout = Changes(), Timeout()
    timeout.answered.clear()
    with running(changes, timeout):
        changes.end(0.0)
        assert not timeout.answered.is_set()
