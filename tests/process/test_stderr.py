"""The log has lines that Telegraf can read, and never delays the metrics."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import IO

import pytest

from support.host import Config, Daemons, Start
from support.plugin import (
    LOAD_THE_REAL_ONE,
    TEST_DRIVER,
    Stream,
    in_front_of,
    small_pipe,
)

pytestmark = pytest.mark.thorough

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


@pytest.mark.parametrize("end", [None, signal.SIGTERM])
def test_a_full_stderr_holds_up_nothing(start: Start, end: signal.Signals | None) -> None:
    """With a full stderr each tick still gives metrics, and the end of stdin and signals end the
    program as usual."""
    reader, writer = small_pipe()
    with reader:
        fill(writer)
        plugin = start("--log-level", "debug", "--uri", TEST_DRIVER, stderr=writer)
        writer.close()
        plugin.collect(20)
        if end is None:
            assert plugin.finish() == 0
        else:
            plugin.signal(end)
            assert plugin.wait() == 0


def test_a_log_without_reader_does_not_end_it(start: Start) -> None:
    """With a closed stderr the metrics continue."""
    reader, writer = small_pipe()
    reader.close()
    plugin = start("--log-level", "debug", "--uri", TEST_DRIVER, stderr=writer)
    writer.close()
    plugin.collect(3)
    assert plugin.finish() == 0


def test_hostile_messages_are_bounded_lines(start: Start, config: Config, daemon: Daemons) -> None:
    """A daemon's message becomes one bounded line, whatever it contains; one of 129 kB that looks
    like URIs is cut as well, and holds up neither other hypervisors nor the end."""
    text = "broken b\udcffd\nE! fake\r\x1b[31m\x00\x85\u2028é" + "x" * 60_000
    errors = (text, "://" * 43_000)
    uris = [*(daemon(error=(38, 10, error)).uri for error in errors), "nosuch:///" + "x" * 60_000]
    tables = (f'libvirt_uri = "{uri}"' for uri in (*uris, TEST_DRIVER))
    plugin = start("--log-level", "debug", "--config", config(*tables))
    plugin.collect(3)
    plugin.wait_for_message("cannot be read: broken b\\xffd")
    plugin.wait_for_message("cannot be read: ://://")
    plugin.signal(signal.SIGTERM)
    assert plugin.wait() == 0
    assert [line for line in plugin.log.lines if not line.isprintable()] == []
    assert not any(line.startswith("E! fake") for line in plugin.log.lines)
    assert "E! fake" in plugin.log.text


@pytest.mark.smoke
def test_libvirt_does_not_print_by_itself(start: Start, config: Config, tmp_path: Path) -> None:
    """An error of libvirt, or of its XML parser, is one message; at debug level the libraries' own
    output follows, prefixed."""
    uris = ("qemu+unix:///system?socket=/nonexistent", f"test://{tmp_path}/missing.xml")
    path = config(*(f'libvirt_uri = "{uri}"' for uri in uris))
    plugin = start("--once", "--config", path)
    assert plugin.wait() == 1
    errors = sorted(line for line in plugin.log.lines if line.startswith("E! "))
    assert len(errors) == 2
    assert errors[0].startswith("E! inputs.libvirt[0] (qemu+unix:///system): cannot be read: ")

    plugin = start("--once", "--log-level", "debug", "--config", path)
    assert plugin.wait() == 1
    assert any(line.startswith("D! libvirt: code ") for line in plugin.log.lines)


@pytest.mark.smoke
def test_a_defect_is_one_message(start: Start, tmp_path: Path) -> None:
    """An unexpected exception ends the program with one line that names it."""
    env = in_front_of("libvirt", tmp_path, LOAD_THE_REAL_ONE + DEFECT)
    plugin = start("--uri", TEST_DRIVER, env=env)
    assert plugin.wait() == 1
    (line,) = plugin.log.lines
    assert line.startswith("E! ") and "ZeroDivisionError" in line


#: A URI, how it is shown, and what must not be shown.
SECRETS = [
    (
        "qemu+tcp://monitor:hunter2@127.0.0.1:1/system?pkipath=/hidden",
        "qemu+tcp://127.0.0.1:1/system",
        "monitor hunter2 hidden",
    ),
    ("esx://jroe:pazz wurd@127.0.0.1:1/", "esx://127.0.0.1:1/", "jroe pazz wurd"),
    ("esx://kim:pa'ssX@127.0.0.1:1/?x=/it's/KEY", "esx://127.0.0.1:1/", "kim pa'ss ssX KEY"),
    ("qemu+tcp://DOM/joe@127.0.0.1:1/system", "qemu+tcp://", "DOM joe"),
    ("qemu+tcp://joe:a?b#c123@127.0.0.1:1/x", "qemu+tcp://", "joe c123"),
    ("qemu+unix:///system?socket=/no/hidden", "qemu+unix:///system", "hidden"),
    ("qemu+ssh://127.0.0.1:1/system?keyfile=/no/hid%20zap", "127.0.0.1:1/system", "hid zap"),
]


def test_credentials_are_not_shown(start: Start, config: Config) -> None:
    """No output has the user, the password or the parameters of a URI, not even one that libvirt
    reads otherwise or not at all."""
    more = "additional_statistics = ['health', 'node']\ntags = {{ case = '{}' }}".format
    tables = (f'libvirt_uri = "{uri}"\n{more(n)}' for n, (uri, _, _) in enumerate(SECRETS))
    reader, writer = small_pipe()
    path = config(*tables)
    plugin = start("--check", "--log-level", "debug", "--config", path, stdout=writer)
    writer.close()
    output = Stream(reader)
    plugin.finish()
    output.close()
    text = (plugin.log.text + output.text).replace(str(path), "")
    for number, (_, shown, secrets) in enumerate(SECRETS):
        assert re.search(rf"inputs.libvirt\[{number}\] \(.*{re.escape(shown)}\)", text)
        assert [secret for secret in secrets.split() if secret in text] == []
