"""Each tick gives the metrics of its moment, and nothing else does."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.host import Config, Start, WithDomains
from support.plugin import TEST_DRIVER, Plugin, environment, small_pipe, timestamps

pytestmark = pytest.mark.thorough


@pytest.mark.smoke
def test_each_tick_gives_metrics(plugin: Plugin) -> None:
    """Each newline on stdin gives the state of the test driver's domain at this time, also right
    before the end of stdin, as by telegraf --test."""
    times = [time.time_ns()]
    for count in (1, 2):
        plugin.tick()
        plugin.wait_for_states(count)
        times.append(time.time_ns())
    plugin.tick()
    assert plugin.finish() == 0
    times.append(time.time_ns())
    texts = {line.rpartition(" ")[0] for line in plugin.states}
    assert texts == {"libvirt_state,domain_name=test state=1i,reason=0i"}
    stamps = timestamps(plugin.states)
    assert len(stamps) == 3
    assert all(a <= at <= b for a, at, b in zip(times, stamps, times[1:]))


def test_newlines_that_wait_are_one_tick(plugin: Plugin) -> None:
    """All newlines in one read of stdin are one tick, with any text around."""
    texts = (b"\n\n", b"\n" * 1000, b"\r\n", b"x\ny")
    for count, text in enumerate(texts, start=1):
        plugin.write(text)
        plugin.wait_for_states(count)
        plugin.wait_until_idle()
    assert plugin.finish() == 0
    assert len(plugin.states) == len(texts)


def test_no_newline_is_no_tick(plugin: Plugin) -> None:
    """The end of stdin without a newline ends the program without metrics; one line says so."""
    plugin.write(b"tick")
    assert plugin.finish() == 0
    assert plugin.metrics.text == ""
    (line,) = plugin.log.lines
    assert "stdin" in line and "the program ends" in line


@pytest.mark.smoke
def test_a_signal_is_a_tick(plugin: Plugin) -> None:
    """Each signal that Telegraf can send gives metrics, any number of times."""
    plugin.wait_until_listening()
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2) * 2
    for count, number in enumerate(numbers, start=1):
        plugin.signal(number)
        plugin.wait_for_states(count)
    assert plugin.finish() == 0
    assert len(plugin.states) == len(numbers)


@pytest.mark.smoke
def test_odd_names_come_out_escaped(start: Start, with_domains: WithDomains) -> None:
    """Separators, quotes, backslashes and non-ASCII characters in names are escaped, in UTF-8 even
    without a locale and a home, as in a service."""
    names = ["a b", "c,d", "e=f", 'g"h', "i\\j", "k\\", "l\\,m", "größe", "日本", "<&>", "'", "#"]
    env = {name: value for name, value in environment().items() if name.startswith("PYTHON")}
    plugin = start("--uri", with_domains(*names), env={**env, "LC_ALL": "C"})
    plugin.tick()
    assert plugin.finish() == 0
    written = [r"a\ b", r"c\,d", r"e\=f", 'g"h', r"i\j", "k", r"l\\,m", *names[7:]]
    assert {line.rpartition(" ")[0] for line in plugin.states} == {
        f"libvirt_state,domain_name={name} state=1i,reason=0i" for name in written
    }


def test_a_file_of_newlines_is_a_tick(start: Start, tmp_path: Path) -> None:
    """A regular file as stdin gives one tick, then the program ends."""
    (tmp_path / "ticks").write_bytes(b"\n\n\n")
    with (tmp_path / "ticks").open("rb") as file:
        plugin = start("--uri", TEST_DRIVER, stdin=file)
    assert plugin.wait() == 0
    assert len(plugin.states) == 1


@pytest.mark.parametrize(
    ("way", "clock"),
    [
        *(("/dev/null", False), ("closed", False), ("write-only", False)),
        *(("pipe without writer", False), ("/dev/null", True), ("closed", True)),
    ],
)
def test_no_stdin(start: Start, config: Config, way: str, clock: bool) -> None:
    """Without stdin and a clock the program ends without metrics; one line says what to do. With a
    clock, that of the option or of a table, it collects until a signal ends it."""
    reader, writer = small_pipe()
    writer.close()
    ways: dict[str, dict[str, Any]] = {
        "/dev/null": {"stdin": subprocess.DEVNULL},
        "closed": {"redirect": "<&-"},
        "write-only": {"redirect": "0> /dev/null"},
        "pipe without writer": {"stdin": reader},
    }
    by_option = clock and way == "closed"
    interval = 'interval = "100ms"' if clock and not by_option else ""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\n{interval}')
    with reader:
        arguments = ["--poll-interval", "100ms"] if by_option else []
        plugin = start("--config", path, *arguments, **ways[way])
    if clock:
        plugin.wait_for_states(3)
        plugin.signal(signal.SIGTERM)
    assert plugin.wait() == 0
    (line,) = (line for line in plugin.log.lines if "stdin" in line)
    if clock:
        assert line.startswith("I! stdin is closed")
    else:
        assert plugin.metrics.text == "" and len(plugin.log.lines) == 1
        assert line.startswith("W! stdin is closed") and "--poll-interval" in line
