"""If a standard stream is closed at the start, no other file takes its number."""

from __future__ import annotations

import contextlib

import pytest

from support.host import Start
from support.plugin import LINE, TEST_DRIVER, run

pytestmark = pytest.mark.thorough


def shell(redirect: str) -> tuple[str, ...]:
    """A prefix that redirects streams."""
    return ("sh", "-c", f'exec "$@" {redirect}', "sh")


@pytest.mark.smoke
@pytest.mark.parametrize("redirect", [">&-", "<&- >&-", "<&- 2>&-"])
def test_streams_are_closed(start: Start, redirect: str) -> None:
    """Without stdin the program ends, as at the end of stdin. Without stdout it ends without an
    error, at the first tick at the latest. A closed stdin alone is in test_ticks.py."""
    plugin = start("--uri", TEST_DRIVER, redirect=redirect)
    with contextlib.suppress(BrokenPipeError):  # it has already ended
        plugin.tick()
    assert plugin.wait() == 0
    assert plugin.metrics.text == ""
    assert not any(line.startswith("E!") for line in plugin.log.lines)


def test_stderr_is_closed(start: Start) -> None:
    """Without stderr (`2>&-`) stdout has the metrics and no messages."""
    plugin = start("--log-level", "debug", "--uri", TEST_DRIVER, redirect="2>&-")
    plugin.collect(3)
    assert plugin.finish() == 0


def test_once_needs_stdout_only() -> None:
    """--once works without stdin and stderr."""
    done = run("--once", "--uri", TEST_DRIVER, prefix=shell("<&- 2>&-"))
    assert done.returncode == 0
    assert all(LINE.fullmatch(line) for line in done.stdout.splitlines())
    assert done.stdout.startswith("libvirt_state,")


def test_no_stderr_to_complain_to() -> None:
    """A mistake gives status 2 even if stderr cannot be written."""
    assert run("--nonsense", prefix=shell("2>&-")).returncode == 2
    assert run("--config", "/nonexistent", prefix=shell("2>/dev/full")).returncode == 2


@pytest.mark.parametrize("option", ["--once", "--version"])
def test_no_stdout_to_print_to(option: str) -> None:
    """Without stdout these options print no traceback."""
    done = run(option, "--uri", TEST_DRIVER, prefix=shell(">&-"))
    assert "Traceback" not in done.stderr
    assert all(line[:3] in ("E! ", "I! ") for line in done.stderr.splitlines())
