"""At a terminal the program prints a hint and obeys the usual keys."""

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
    """A terminal and its keyboard."""

    def __init__(self) -> None:
        self._keyboard, terminal = pty.openpty()
        self.name = os.ttyname(terminal)
        self._open = [self._keyboard, terminal]

    def type(self, keys: bytes) -> None:
        """Type these keys."""
        os.write(self._keyboard, keys)

    def close(self) -> None:
        """Close the terminal; may be called again."""
        while self._open:
            os.close(self._open.pop())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal that is closed after the test."""
    with ExitStack() as stack:
        terminal = Terminal()
        stack.callback(terminal.close)
        yield terminal


@pytest.fixture
def start_at(start: Callable[..., Plugin], terminal: Terminal) -> Callable[..., Plugin]:
    """Start the plugin as the foreground process of the terminal, whose keys send signals."""

    def begin(*arguments: str) -> Plugin:
        # A session leader that opens a terminal gets it as its controlling terminal.
        return start(*arguments, redirect=f"<{terminal.name}", start_new_session=True)

    return begin


@pytest.mark.smoke
def test_the_hint_and_the_keys(start_at: Callable[..., Plugin], terminal: Terminal) -> None:
    """The hint comes first; Enter collects; Ctrl-D ends the program."""
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
    """Ctrl-C ends the program at once, without a traceback."""
    plugin = start_at("--uri", TEST_DRIVER)
    plugin.wait_for_message("Enter")
    terminal.type(CTRL_C)
    assert plugin.wait(AT_ONCE) == 0
    assert plugin.log.lines == [HINT]


def test_a_window_that_is_closed_ends_it(
    start_at: Callable[..., Plugin], terminal: Terminal
) -> None:
    """The end of the terminal ends the program, although it sends SIGHUP, otherwise a tick."""
    plugin = start_at("--uri", TEST_DRIVER)
    plugin.wait_for_message("Enter")
    terminal.close()
    assert plugin.wait() == 0


def test_no_hint_without_a_terminal(plugin: Plugin) -> None:
    """The program prints no hint if stdin is a pipe."""
    plugin.tick()
    assert plugin.finish() == 0
    assert "Enter" not in plugin.log.text


def test_no_hint_with_once(start_at: Callable[..., Plugin]) -> None:
    """--once does not read the terminal, so it prints no hint."""
    plugin = start_at("--once", "--uri", TEST_DRIVER)
    assert plugin.wait() == 0
    assert "Enter" not in plugin.log.text
