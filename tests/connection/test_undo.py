"""Changes that are taken back: at the end of their block, and at the end of the program."""

from __future__ import annotations

import threading
from typing import Optional

import pytest

from telegraf_execd_libvirt.connection.requests import Abandoned
from telegraf_execd_libvirt.connection.undo import Changes

SECONDS = 30.0


class Timeout:
    """A value of a daemon, which answers a change when it may."""

    def __init__(self) -> None:
        self.value = "usual"
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()

    def shorten(self) -> None:
        self.asked.set()
        assert self.may_answer.wait(SECONDS)
        self.value = "short"

    def restore(self) -> None:
        self.value = "usual"


@pytest.mark.parametrize("error", [None, Abandoned(), ValueError()])
@pytest.mark.parametrize("answered", [True, False])
def test_a_change_ends_with_its_block(error: Optional[Exception], answered: bool) -> None:
    """The change is taken back whatever happens in the block, and also if its answer is lost: the
    daemon may have made it."""
    timeout, raised = Timeout(), None

    def shorten() -> None:
        timeout.shorten()
        if error is not None and not answered:
            raise error

    try:
        with Changes().made(shorten, timeout.restore):
            assert timeout.value == "short"
            if error is not None:
                raise error
    except Exception as caught:
        raised = caught
    assert raised is error and timeout.value == "usual"


@pytest.mark.parametrize("case", ["answered", "answered late", "hangs"])
def test_the_end_of_the_program_takes_changes_back(case: str) -> None:
    """Also a change that has been asked for and not been answered; one that hangs is not waited
    for. After that, none is made."""
    changes, timeout, begun, end = Changes(), Timeout(), threading.Event(), threading.Event()

    def run() -> None:
        with changes.made(timeout.shorten, timeout.restore):
            begun.set()
            end.wait(SECONDS)

    if case != "answered":
        timeout.may_answer.clear()
    thread = threading.Thread(target=run)
    thread.start()
    assert (begun if case == "answered" else timeout.asked).wait(SECONDS)
    if case == "hangs":
        changes.end(0.0)
        assert not timeout.may_answer.is_set()
    else:
        threading.Timer(0.0, timeout.may_answer.set).start()
        changes.end(SECONDS)
        assert timeout.value == "usual"
        with pytest.raises(Abandoned), changes.made(timeout.shorten, timeout.restore):
            pass
        assert timeout.value == "usual"
    timeout.may_answer.set()
    end.set()
    thread.join(SECONDS)
    assert not thread.is_alive() and timeout.value == "usual"
