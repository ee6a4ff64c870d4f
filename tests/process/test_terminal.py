"""At a terminal the program prints a hint and obeys the usual keys."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from support.host import Start
from support.plugin import TEST_DRIVER, Plugin

pytestmark = pytest.mark.thorough

HINT = "I! Enter collects, Ctrl-D ends"
CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    """A terminal and its keyboard, with the plugin as its foreground process."""

    def __init__(self, start: Start) -> None:
        self._keyboard, terminal = pty.openpty()
        self._name = os.ttyname(terminal)
        self._open = [self._keyboard, terminal]
        self._start = start

    def start(self, *arguments: str) -> Plugin:
        """Start the plugin; the keys send it signals."""
        # A session leader that opens a terminal gets it as its controlling terminal.
        options = {"redirect": f"<{self._name}", "start_new_session": True}
        return self._start("--uri", TEST_DRIVER, *arguments, **options)

    def type(self, keys: bytes) -> None:
        """Type these keys."""
        os.write(self._keyboard, keys)

    def close(self) -> None:
        """Close the terminal; may be called again."""
        while self._open:
            os.close(self._open.pop())


@pytest.fixture
def terminal(start: Start) -> Iterator[Terminal]:
    """A terminal that is closed after the test."""
    with ExitStack() as stack:
        terminal = Terminal(start)
        stack.callback(terminal.close)
        yield terminal


@pytest.mark.smoke
def test_the_hint_and_the_keys(terminal: Terminal) -> None:
    """The hint comes first; Enter collects; Ctrl-D ends the program."""
    plugin = terminal.start()
    assert plugin.wait_for_message("Enter")[0] == HINT
    assert plugin.metrics.text == ""
    for count in (1, 2):
        terminal.type(b"\n")
        plugin.wait_for_states(count)
    terminal.type(CTRL_D)
    assert plugin.wait() == 0
    assert len(plugin.states) == 2
    assert plugin.log.lines[0] == HINT and plugin.log.text.count(HINT) == 1


@pytest.mark.parametrize(
    "end", [lambda terminal: terminal.type(CTRL_C), Terminal.close], ids=["Ctrl-C", "closed"]
)
def test_the_end(terminal: Terminal, end: Callable[[Terminal], None]) -> None:
    """Ctrl-C ends the program without a traceback, and so does the end of the terminal, although it
    sends SIGHUP, otherwise a tick."""
    plugin = terminal.start()
    plugin.wait_for_message("Enter")
    end(terminal)
    assert plugin.wait() == 0
    assert plugin.log.lines[0] == HINT and "Traceback" not in plugin.log.text


def test_no_hint(plugin: Plugin, terminal: Terminal) -> None:
    """The program prints no hint if stdin is a pipe, or with --once, which does not read it."""
    plugin.tick()
    assert plugin.finish() == 0
    once = terminal.start("--once")
    assert once.wait() == 0
    assert "Enter" not in plugin.log.text + once.log.text
