"""If a standard stream is closed at the start, no other file takes its number."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.plugin import AT_ONCE, LINE, TEST_DRIVER, Plugin, run


@pytest.mark.smoke
def test_stdin_is_closed(start: Callable[..., Plugin]) -> None:
    """Without stdin (`<&-`) the program ends, as at the end of stdin; one line says so."""
    plugin = start("--uri", TEST_DRIVER, redirect="<&-")
    assert plugin.wait() == 0
    assert plugin.metrics.text == ""
    assert [line[:20] for line in plugin.log.lines] == ["W! stdin is closed a"]


def test_stdout_is_closed(start: Callable[..., Plugin]) -> None:
    """Without stdout (`>&-`) the program ends without an error, at the first tick at the latest."""
    plugin = start("--uri", TEST_DRIVER, redirect=">&-")
    try:
        plugin.tick()
    except BrokenPipeError:
        pass  # it has already ended
    assert plugin.wait(AT_ONCE) == 0
    assert not any(line.startswith("E!") for line in plugin.log.lines)


def test_stderr_is_closed(start: Callable[..., Plugin]) -> None:
    """Without stderr (`2>&-`) stdout has the metrics and no messages."""
    plugin = start("--log-level", "debug", "--uri", TEST_DRIVER, redirect="2>&-")
    for count in (1, 2, 3):
        plugin.tick()
        plugin.wait_for_states(count)
    assert plugin.finish() == 0


@pytest.mark.parametrize("redirect", ["<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_several_are_closed(start: Callable[..., Plugin], redirect: str) -> None:
    """Without several streams the program ends without an error."""
    plugin = start("--uri", TEST_DRIVER, redirect=redirect)
    if "<" in redirect:
        assert plugin.wait() == 0
    else:
        plugin.tick()
        assert plugin.wait(AT_ONCE) == 0
    assert not any(line.startswith("E!") for line in plugin.log.lines)


def test_once_needs_stdout_only() -> None:
    """--once works without stdin and stderr."""
    for redirect in ("<&-", "2>&-", "<&- 2>&-"):
        shell = ("sh", "-c", f'exec "$@" {redirect}', "sh")
        done = run("--once", "--uri", TEST_DRIVER, prefix=shell)
        assert done.returncode == 0
        assert all(LINE.fullmatch(line) for line in done.stdout.splitlines())
        assert done.stdout.startswith("libvirt_state,")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_no_stderr_to_complain_to(redirect: str) -> None:
    """A mistake gives status 2 even if stderr cannot be written."""
    shell = ("sh", "-c", f'exec "$@" {redirect}', "sh")
    assert run("--nonsense", prefix=shell).returncode == 2
    assert run("--config", "/nonexistent", prefix=shell).returncode == 2


@pytest.mark.parametrize("option", ["--once", "--check", "--sample-config", "--version"])
def test_no_stdout_to_print_to(option: str) -> None:
    """Without stdout these options print no traceback."""
    done = run(option, "--uri", TEST_DRIVER, prefix=("sh", "-c", 'exec "$@" >&-', "sh"))
    assert "Traceback" not in done.stderr
    assert all(line[:3] in ("E! ", "I! ") for line in done.stderr.splitlines())
