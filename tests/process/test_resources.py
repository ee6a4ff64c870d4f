"""The program sleeps between ticks and leaks nothing."""

from __future__ import annotations

import pytest

from support.host import Config, Daemons, Start
from support.plugin import TEST_DRIVER, eventually

pytestmark = pytest.mark.thorough


def test_many_ticks_leave_nothing_open(start: Start, config: Config) -> None:
    """After 100 ticks, also of a connection that fails, there are no more descriptors and threads
    than after five. Between ticks no thread wakes up."""
    missing = 'libvirt_uri = "qemu+unix:///system?socket=/nonexistent"'
    plugin = start("--config", config(missing, f'libvirt_uri = "{TEST_DRIVER}"'))
    plugin.collect(5)
    plugin.wait_for_message("cannot be read")
    before = plugin.opened()
    plugin.collect(95)
    # A thread takes a moment to end.
    assert eventually(lambda: all(map(int.__le__, plugin.opened(), before))), plugin.opened()
    plugin.wait_until_idle(1.0)


def limited(option: str, limit: int) -> tuple[str, ...]:
    """A prefix that starts the plugin with a limit of file descriptors."""
    return ("sh", "-c", f'ulimit {option} {limit}; exec "$@"', "sh")


def tables(uri: str, count: int) -> list[str]:
    """Tables for the same daemon, with nine sources each."""
    sources = "block_job block_limit disk_error event host_cpu interface_limit job network snapshot"
    names = ", ".join(f'"{name}"' for name in ["health", "guest_agent", *sources.split()])
    return [f'libvirt_uri = "{uri}"\nadditional_statistics = [{names}]'] * count


def health(lines: list[str], up: int) -> list[str]:
    """The lines of libvirt_health of hypervisors that are read, or not."""
    return [line for line in lines if line.startswith("libvirt_health,") and f" up={up}i" in line]


def test_the_limit_of_descriptors_is_raised(start: Start, daemon: Daemons, config: Config) -> None:
    """The soft limit becomes the hard one, so the connections fit and nothing is said."""
    path = config(*tables(daemon().uri, 2))
    plugin = start("--config", path, prefix=limited("-S -n", 24))
    plugin.tick()
    plugin.metrics.wait_for(lambda lines: len(health(lines, up=1)) == 2, "health")
    (limits,) = [
        line.split()[3:5]
        for line in plugin.proc("limits").read_text().splitlines()
        if line.startswith("Max open files")
    ]
    assert limits[0] == limits[1]
    assert plugin.finish() == 0
    assert "descriptors" not in plugin.log.text


@pytest.mark.parametrize(("limit", "count", "up"), [(12, 1, 0), (90, 20, 20)])
def test_what_fits_works(
    start: Start, daemon: Daemons, config: Config, limit: int, count: int, up: int
) -> None:
    """If the connections do not fit into the hard limit, one error says so at the start; those that
    fit are made, in this tick or the next."""
    path = config(*tables(daemon().uri, count))
    plugin = start("--config", path, prefix=limited("-n", limit))
    plugin.wait_for_message("file descriptors, the limit is")

    def tick_until_up() -> bool:
        plugin.metrics.forget()
        plugin.tick()
        plugin.metrics.wait_for(
            lambda lines: len(health(lines, up=0) + health(lines, up=1)) >= count, "health"
        )
        return len(health(plugin.metrics.lines, up=1)) == up

    assert eventually(tick_until_up)
    assert plugin.finish() == 0
    errors = [line for line in plugin.log.lines if line.startswith("E! the configuration needs")]
    assert len(errors) == 1
    assert f"the limit is {limit}" in errors[0] and "LimitNOFILE" in errors[0]
