"""The exit status of --once says whether every hypervisor was read."""

from __future__ import annotations

import re

import pytest

from support.host import Config, Daemons, Start, WithDomains
from support.plugin import LINE, TEST_DRIVER, read, run, small_pipe

pytestmark = pytest.mark.thorough

UNREACHABLE = "qemu+unix:///system?socket=/nonexistent"


@pytest.mark.smoke
def test_once_collects_and_ends(start: Start) -> None:
    """--once prints the metrics and exits with status 0, without reading stdin."""
    plugin = start("--once", "--uri", TEST_DRIVER)
    assert plugin.wait() == 0
    assert len(plugin.states) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_once_prints_what_can_be_read(
    start: Start, config: Config, daemon: Daemons, order: int
) -> None:
    """If one of several hypervisors cannot be read, or a call fails, --once prints the others'
    metrics, with status 1."""
    failing = daemon(error=(38, 10, "out of order")).uri
    uris = [UNREACHABLE, TEST_DRIVER, failing][::order]
    plugin = start("--once", "--config", config(*(f'libvirt_uri = "{uri}"' for uri in uris)))
    assert plugin.wait() == 1
    (line,) = plugin.states
    assert "domain_name=test" in line
    for uri, reason in ((UNREACHABLE, "Failed to connect socket"), (failing, "out of order")):
        expected = f"E! inputs.libvirt[{uris.index(uri)}] (qemu+unix:///system): cannot be read: "
        (error,) = plugin.wait_for_message(reason)
        assert error.startswith(expected)
    assert len(plugin.log.lines) == 2


def test_once_into_a_pipe_that_is_closed_early(
    start: Start, config: Config, with_domains: WithDomains
) -> None:
    """A reader of the first lines only, such as `head -1`, gets complete lines."""
    reader, writer = small_pipe()
    with reader:
        names = [f"domain-{number}" for number in range(500)]
        path = config(f'libvirt_uri = "{with_domains(*names)}"\ntimeout = "60s"')
        plugin = start("--once", "--config", path, stdout=writer)
        writer.close()
        first = read(reader, 4096)
    assert LINE.fullmatch(first.split(b"\n")[0].decode())
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == []


@pytest.mark.parametrize("groups", ["", "statistics_groups = []\n"])
def test_once_whose_lines_cannot_be_written(config: Config, groups: str) -> None:
    """If lines are lost, --once exits with status 1, also if only sources, which come last, have
    lines."""
    options = f'libvirt_uri = "{TEST_DRIVER}"\n{groups}additional_statistics = ["network"]'
    full = ("sh", "-c", 'exec "$@" >/dev/full', "sh")
    result = run("--config", config(options), "--once", prefix=full)
    assert result.returncode == 1
    assert "cannot write stdout: No space left on device" in result.stderr


def test_the_levels_of_the_log(config: Config) -> None:
    """--log-level suppresses messages of lower levels; without it --once writes no informational
    ones. Debug has one line for the tick: its domains, calls and milliseconds of each source."""
    path = config(
        f'libvirt_uri = "{UNREACHABLE}"\ndomain_names = ["a"]',
        f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = ["storage_pool", "network"]',
    )
    levels = {"": "EW", "error": "E", "debug": "DEIW"}
    for level, expected in levels.items():
        option = ("--log-level", level) if level else ()
        lines = run("--config", path, "--once", *option).stderr.splitlines()
        assert "".join(sorted({line[0] for line in lines})) == expected, level
    (line,) = (line for line in lines if "tick: 1 " in line)
    assert re.search(
        r"tick: 1 domains in \d+ ms, \d+ calls, storage_pool \d+ ms, network \d+ ms$", line
    )
