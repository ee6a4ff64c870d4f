"""Started by hand at a terminal, the program says what to do, and obeys the usual keys."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from support.plugin import AT_ONCE, TEST_DRIVER, Plugin

HINT = "I! Enter collects, Ctrl-D ends"
CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    """A terminal with its keyboard, which the plugin is started at."""

    def __init__(self) -> None:
        self._keyboard, terminal = pty.openpty()
        self.name = os.ttyname(terminal)
        self._open = [self._keyboard, terminal]

    def type(self, keys: bytes) -> None:
        """Type these keys."""
        os.write(self._keyboard, keys)

    def close(self) -> None:
        """Close the terminal's window; any number of times."""
        while self._open:
            os.close(self._open.pop())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal that is gone after the test."""
    with ExitStack() as stack:
        terminal = Terminal()
        stack.callback(terminal.close)
        yield terminal


@pytest.fixture
def start_at(start: Callable[..., Plugin], terminal: Terminal) -> Callable[..., Plugin]:
    """Start the plugin at the terminal, as its foreground process: its keys are signals, too."""

    def begin(*arguments: str) -> Plugin:
        # Whoever leads a session and opens a terminal has it from then on.
        return start(*arguments, redirect=f"<{terminal.name}", start_new_session=True)

    return begin


def test_the_hint_and_the_keys(start_at: Callable[..., Plugin], terminal: Terminal) -> None:
    """The hint comes first; each Enter collects; Ctrl-D ends."""
    plugin = start_at("--uri", TEST_DRIVER)
    assert plugin.wait_for_message("Enter")[0] == HINT
    assert plugin.metrics.text == ""
    for count in (1, 2):
        terminal.type(b"\n")
        plugin.wait_for_states(count)
    terminal.type(CTRL_D)
    assert plugin.wait() == 0
    assert len(plugin.states) == 2
    assert plugin.log.lines[0] == HINT and plugin.log.text.count(HINT) == 1


def test_ctrl_c_ends_it(start_at: Callable[..., Plugin], terminal: Terminal) -> None:
    """Ctrl-C ends it at once, without a traceback."""
    plugin = start_at("--uri", TEST_DRIVER)
    plugin.wait_for_message("Enter")
    terminal.type(CTRL_C)
    assert plugin.wait(AT_ONCE) == 0
    assert plugin.log.lines == [HINT]


def test_a_window_that_is_closed_ends_it(
    start_at: Callable[..., Plugin], terminal: Terminal
) -> None:
    """A terminal that goes away, with the signal that is otherwise a tick, ends the program."""
    plugin = start_at("--uri", TEST_DRIVER)
    plugin.wait_for_message("Enter")
    terminal.close()
    assert plugin.wait() == 0


def test_no_hint_without_a_terminal(plugin: Plugin) -> None:
    """With a pipe as stdin there is no hint."""
    plugin.tick()
    assert plugin.finish() == 0
    assert "Enter" not in plugin.log.text


def test_no_hint_with_once(start_at: Callable[..., Plugin]) -> None:
    """A single collection does not read the terminal, and so gives no hint."""
    plugin = start_at("--once", "--uri", TEST_DRIVER)
    assert plugin.wait() == 0
    assert "Enter" not in plugin.log.text
