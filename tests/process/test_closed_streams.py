"""Standard streams that are closed from the start are nobody's: no other file takes their place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.plugin import AT_ONCE, LINE, TEST_DRIVER, Plugin, run


def test_stdin_is_closed(start: Callable[..., Plugin]) -> None:
    """Without stdin (`<&-`) there is no tick to come: the program ends like at its end."""
    plugin = start("--uri", TEST_DRIVER, redirect="<&-")
    assert plugin.wait() == 0
    assert plugin.metrics.text == plugin.log.text == ""


def test_stdout_is_closed(start: Callable[..., Plugin]) -> None:
    """Without stdout (`>&-`) the program ends quietly, at the first tick at the latest."""
    plugin = start("--uri", TEST_DRIVER, redirect=">&-")
    try:
        plugin.tick()
    except BrokenPipeError:
        pass  # it has ended already
    assert plugin.wait(AT_ONCE) == 0
    assert not any(line.startswith("E!") for line in plugin.log.lines)


def test_stderr_is_closed(start: Callable[..., Plugin]) -> None:
    """Without stderr (`2>&-`) the metrics come, and no message is among them."""
    plugin = start("--log-level", "debug", "--uri", TEST_DRIVER, redirect="2>&-")
    for count in (1, 2, 3):
        plugin.tick()
        plugin.wait_for_states(count)
    assert plugin.finish() == 0


@pytest.mark.parametrize("redirect", ["<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_several_are_closed(start: Callable[..., Plugin], redirect: str) -> None:
    """Without two or all of them the program ends quietly, too."""
    plugin = start("--uri", TEST_DRIVER, redirect=redirect)
    if "<" in redirect:
        assert plugin.wait() == 0
    else:
        plugin.tick()
        assert plugin.wait(AT_ONCE) == 0
    assert not any(line.startswith("E!") for line in plugin.log.lines)


def test_once_needs_stdout_only() -> None:
    """A single collection needs neither stdin nor stderr."""
    for redirect in ("<&-", "2>&-", "<&- 2>&-"):
        shell = ("sh", "-c", f'exec "$@" {redirect}', "sh")
        done = run("--once", "--uri", TEST_DRIVER, prefix=shell)
        assert done.returncode == 0
        assert all(LINE.fullmatch(line) for line in done.stdout.splitlines())
        assert done.stdout.startswith("libvirt_state,")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_no_stderr_to_complain_to(redirect: str) -> None:
    """Mistakes make the status 2 where they cannot be told, too."""
    shell = ("sh", "-c", f'exec "$@" {redirect}', "sh")
    assert run("--nonsense", prefix=shell).returncode == 2
    assert run("--config", "/nonexistent", prefix=shell).returncode == 2


@pytest.mark.parametrize("option", ["--once", "--check", "--sample-config", "--version"])
def test_no_stdout_to_print_to(option: str) -> None:
    """What would be printed to a stdout that is closed is lost without a traceback."""
    done = run(option, "--uri", TEST_DRIVER, prefix=("sh", "-c", 'exec "$@" >&-', "sh"))
    assert "Traceback" not in done.stderr
    assert all(line[:3] in ("E! ", "I! ") for line in done.stderr.splitlines())
