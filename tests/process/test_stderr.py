"""The log has lines that Telegraf can read, and never delays the metrics."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from support.plugin import (
    AT_ONCE,
    LOAD_THE_REAL_ONE,
    TEST_DRIVER,
    Plugin,
    Stream,
    in_front_of,
    small_pipe,
)
from support.server import Daemon

# Runs after libvirt is loaded; makes the main thread fail when it first waits.
DEFECT = """
import selectors
selectors.PollSelector.select = lambda *arguments: 1 / 0
"""


def fill(pipe: IO[bytes]) -> None:
    """Fill the pipe."""
    os.set_blocking(pipe.fileno(), False)
    while pipe.write(b"x" * 4096) is not None:
        pass
    os.set_blocking(pipe.fileno(), True)


def test_a_full_stderr_does_not_hold_up_the_metrics(start: Callable[..., Plugin]) -> None:
    """With a full stderr each tick still gives metrics, and the program ends as usual."""
    reader, writer = small_pipe()
    with reader:
        fill(writer)
        plugin = start("--log-level", "debug", "--uri", TEST_DRIVER, stderr=writer)
        writer.close()
        for count in range(1, 21):
            plugin.tick()
            plugin.wait_for_states(count)
        assert plugin.finish(AT_ONCE) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_full_stderr_does_not_hold_up_a_signal(
    start: Callable[..., Plugin], number: signal.Signals
) -> None:
    """With a full stderr SIGTERM and SIGINT still end the program at once."""
    reader, writer = small_pipe()
    with reader:
        fill(writer)
        plugin = start("--uri", TEST_DRIVER, stderr=writer)
        writer.close()
        plugin.tick()
        plugin.wait_for_states(1)
        plugin.signal(number)
        assert plugin.wait(AT_ONCE) == 0


def test_messages_that_waited_come_whole(start: Callable[..., Plugin]) -> None:
    """When a full stderr is read again, the waiting messages come as whole lines."""
    reader, writer = small_pipe()
    fill(writer)
    plugin = start("--uri", TEST_DRIVER, stderr=writer)
    writer.close()
    plugin.tick()
    plugin.wait_for_states(1)
    log = Stream(reader)
    log.wait_for(lambda lines: lines, "a message")
    assert plugin.finish() == 0
    log.close()
    assert log.text.lstrip("x").startswith("I! inputs.libvirt[0] (test:///default): connected")


def test_a_log_without_reader_does_not_end_it(start: Callable[..., Plugin]) -> None:
    """With a closed stderr the metrics continue."""
    reader, writer = small_pipe()
    reader.close()
    plugin = start("--log-level", "debug", "--uri", TEST_DRIVER, stderr=writer)
    writer.close()
    for count in (1, 2, 3):
        plugin.tick()
        plugin.wait_for_states(count)
    assert plugin.finish() == 0


def test_hostile_messages_are_bounded_lines(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon]
) -> None:
    """A daemon's message becomes one bounded line, whatever it contains."""
    text = "broken\nE! fake\r\x1b[31m\x00\x85\u2028é" + "x" * 60_000
    hypervisor = daemon(error=(38, 10, text))
    plugin = start("--log-level", "debug", "--uri", hypervisor.uri)
    plugin.tick()
    plugin.wait_for_message("cannot be read: broken")
    assert plugin.finish() == 0
    assert [line for line in plugin.log.lines if not line.isprintable()] == []
    assert {line[:3] for line in plugin.log.lines} == {"D! ", "E! "}
    assert not any(line.startswith("E! fake") for line in plugin.log.lines)
    assert "E! fake" in plugin.log.text

    plugin = start("--once", "--log-level", "debug", "--uri", "nosuch:///" + "x" * 60_000)
    assert plugin.wait() == 1
    assert {line[:3] for line in plugin.log.lines} == {"D! ", "E! "}


def test_a_long_error_of_one_hypervisor_holds_up_nothing(
    start: Callable[..., Plugin], config: Callable[..., Path], daemon: Callable[..., Daemon]
) -> None:
    """A message of 129 kB that looks like URIs is cut; the other hypervisor is read at each tick,
    and a signal ends the program."""
    hypervisor = daemon(error=(1, 10, "://" * 43_000))
    tables = (f'libvirt_uri = "{uri}"' for uri in (hypervisor.uri, TEST_DRIVER))
    plugin = start("--log-level", "debug", "--config", config(*tables))
    for count in range(1, 4):
        plugin.tick()
        plugin.wait_for_states(count)
    plugin.wait_for_message("cannot be read: ://://")
    plugin.signal(signal.SIGTERM)
    plugin.wait()


def test_the_level_is_obeyed(start: Callable[..., Plugin], config: Callable[..., Path]) -> None:
    """--log-level suppresses messages of lower levels."""
    path = config(
        'libvirt_uri = "qemu+unix:///system?socket=/nonexistent"\ndomain_names = ["a"]',
        f'libvirt_uri = "{TEST_DRIVER}"',
    )
    seen = {}
    for level in ("error", "warn", "info", "debug"):
        plugin = start("--once", "--log-level", level, "--config", path)
        assert plugin.wait() == 1
        seen[level] = "".join(sorted({line[0] for line in plugin.log.lines}))
    assert seen == {"error": "E", "warn": "EW", "info": "EIW", "debug": "DEIW"}


@pytest.mark.smoke
def test_libvirt_does_not_print_by_itself(start: Callable[..., Plugin]) -> None:
    """libvirt's error is one message; at debug level its own output follows, prefixed."""
    uri = "qemu+unix:///system?socket=/nonexistent"
    plugin = start("--once", "--uri", uri)
    assert plugin.wait() == 1
    (line,) = plugin.log.lines
    assert line.startswith("E! inputs.libvirt[0] (qemu+unix:///system): cannot be read: ")

    plugin = start("--once", "--log-level", "debug", "--uri", uri)
    assert plugin.wait() == 1
    assert any(line.startswith("D! libvirt: code ") for line in plugin.log.lines)


def test_libraries_of_libvirts_do_not_print_either(
    start: Callable[..., Plugin], tmp_path: Path
) -> None:
    """The output of libvirt's XML parser becomes log lines."""
    plugin = start("--once", "--uri", f"test://{tmp_path}/missing.xml")
    assert plugin.wait() == 1
    assert sum(line.startswith("E! ") for line in plugin.log.lines) == 1


@pytest.mark.smoke
def test_a_defect_is_one_message(start: Callable[..., Plugin], tmp_path: Path) -> None:
    """An unexpected exception ends the program with one line that names it."""
    env = in_front_of("libvirt", tmp_path, LOAD_THE_REAL_ONE + DEFECT)
    plugin = start("--uri", TEST_DRIVER, env=env)
    assert plugin.wait() == 1
    (line,) = plugin.log.lines
    assert line.startswith("E! ") and "ZeroDivisionError" in line


@pytest.mark.parametrize("option", ["--once", "--check"])
@pytest.mark.parametrize(
    ("uri", "shown", "secrets"),
    [
        (
            "qemu+tcp://monitor:hunter2@127.0.0.1:1/system?pkipath=/hidden",
            "(qemu+tcp://127.0.0.1:1/system)",
            "monitor hunter2 hidden",
        ),
        ("esx://jroe:pazz wurd@127.0.0.1:1/", "(esx://127.0.0.1:1/)", "jroe pazz wurd"),
        ("qemu+tcp://DOM/joe@127.0.0.1:1/system", "(qemu+tcp://)", "DOM joe"),
        ("qemu+tcp://joe:a?b#c123@127.0.0.1:1/x", "(qemu+tcp://)", "joe c123"),
        ("qemu+unix:///system?socket=/no/hidden", "(qemu+unix:///system)", "hidden"),
        ("qemu+ssh://127.0.0.1:1/system?keyfile=/no/hid%20zap", "127.0.0.1:1/system)", "hid zap"),
    ],
)
def test_credentials_are_not_shown(
    start: Callable[..., Plugin],
    config: Callable[..., Path],
    option: str,
    uri: str,
    shown: str,
    secrets: str,
) -> None:
    """No output has the user, the password or the parameters of a URI, not even one that libvirt
    reads otherwise or not at all."""
    path = config(f"libvirt_uri = '{uri}'\nadditional_statistics = ['health', 'node']")
    reader, writer = small_pipe()
    plugin = start(option, "--log-level", "debug", "--config", path, stdout=writer)
    writer.close()
    output = Stream(reader)
    plugin.finish()
    output.close()
    text = plugin.log.text + output.text
    assert shown in text
    assert not any(secret in text for secret in secrets.split())
