"""Sources beside the bulk statistics: their lines, and what one of them costs when it fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli

from support.crowd import Crowd
from support.plugin import AT_ONCE, SECONDS, TEST_DRIVER, Plugin, eventually, run
from support.server import (
    EVENTS_REGISTER,
    GET_JOB_STATS,
    LIST_ALL_DOMAINS,
    LIST_ALL_NETWORKS,
    Daemon,
)
from telegraf_execd_libvirt.hypervisor.patience import FETCH_LINKS, MOST_HANGING
from telegraf_execd_libvirt.sources import SOURCES

PROCEDURES = tomli.loads((Path(__file__).parents[1] / "data" / "sources.toml").read_text("utf-8"))

#: The first procedure of each fetch, by source.
BEGINS = {name: each.get("begins", LIST_ALL_DOMAINS) for name, each in PROCEDURES.items()}

#: A domain with all that sources ask about.
XML = (
    "<domain><devices><disk><target dev='vda'/></disk><interface><target dev='vnet0'/></interface>"
    "<channel><target name='org.qemu.guest_agent.0' state='connected'/></channel></devices>"
    "</domain>"
)

ALL = ", ".join(f'"{name}"' for name in SOURCES)


def health(lines: list[str], source: str) -> list[str]:
    """The health of a source in each tick."""
    start = "libvirt_source_health,"
    return [line for line in lines if line.startswith(start) and f",source={source} " in line]


def tick_at_once(plugin: Plugin, number: int) -> None:
    """Tick; the bulk lines of this tick come at once."""
    started = time.monotonic()
    plugin.tick()
    plugin.wait_for_states(number)
    assert time.monotonic() - started < AT_ONCE


def test_all_sources_on_the_test_driver(config: Callable[..., Path]) -> None:
    """With all sources on, the bulk lines and the exit status of --once are the usual ones."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = [{ALL}]')
    done = run("--config", path, "--once")
    assert done.returncode == 0
    usual = run("--uri", TEST_DRIVER, "--once").stdout.splitlines()
    names = {line.partition(" ")[0] for line in done.stdout.splitlines()}
    assert {line.partition(" ")[0] for line in usual} <= names
    assert "Traceback" not in done.stderr


def test_check_reports_each_source(config: Callable[..., Path]) -> None:
    """--check has a line for each source, and nothing on stderr."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = [{ALL}]')
    done = run("--config", path, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    for name in SOURCES:
        assert f"  source {name}: " in done.stdout
    missing = "not supported: this function is not supported by the connection driver"
    assert f"  source job: {missing}" in done.stdout


def test_a_call_that_the_driver_lacks_is_reported_once(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """A source that the driver does not have is reported once, stays down in health, and is no
    error."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = ["health", "job"]')
    plugin = start("--config", path)
    assert eventually(
        lambda: plugin.tick_and_go_on() or len(health(plugin.metrics.lines, "job")) > 2
    )
    assert plugin.finish() == 0
    assert len(plugin.wait_for_message("job: this function is not supported")) == 1
    last = health(plugin.metrics.lines, "job")[-1]
    assert " up=0i," in last and ",errors=0i," in last


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_hangs_costs_only_itself(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    name: str,
) -> None:
    """While a source hangs, bulk lines come at once; it is reported once, and recovers."""
    hypervisor = daemon()
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["health", "{name}"]\n'
        f'timeout = "10s"\n[inputs.libvirt.{name}]\ntimeout = "200ms"\ninterval = "1ms"'
    )
    plugin = start("--config", path)
    tick_at_once(plugin, 1)
    hypervisor.unanswered.add(BEGINS[name])

    for number in range(2, 5):
        tick_at_once(plugin, number)
        time.sleep(0.15)
    lanes = SOURCES[name].lanes
    hanging = f",hanging={lanes}i"
    assert eventually(
        lambda: plugin.tick() or hanging in "".join(health(plugin.metrics.lines, name)[-1:])
    )
    messages = plugin.wait_for_message(f"{name}: no answer within 0.2s")
    assert len(messages) == 1
    hypervisor.answer()
    plugin.wait_for_message(f"{name}: ", 2)
    plugin.tick()
    assert plugin.finish() == 0
    assert len(plugin.wait_for_message(f"{name}: no answer within")) == 1


@pytest.mark.parametrize("name", [name for name in SOURCES if "own" in PROCEDURES[name]])
def test_with_all_sources_on_one_that_hangs_costs_only_itself(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    name: str,
) -> None:
    """With all sources on, a call of one source that hangs delays neither the bulk lines nor the
    other sources."""
    hypervisor = daemon()
    hypervisor.xml = XML
    hypervisor.unanswered.add(PROCEDURES[name]["own"])
    tables = "".join(
        f'[inputs.libvirt.{source}]\ninterval = "1ms"\n'
        + ('timeout = "200ms"\n' if source == name else "")
        for source in SOURCES
    )
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "10s"\n'
        f'additional_statistics = ["health", {ALL}]\n{tables}'
    )
    plugin = start("--config", path)
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        tick_at_once(plugin, ticks)

    def found() -> set[str]:
        """The sources that hang, by their health in the last tick."""
        tick()
        time.sleep(0.05)
        last = {source: health(plugin.metrics.lines, source)[-1:] for source in SOURCES}
        return {source for source, lines in last.items() if lines and ",hanging=0i" not in lines[0]}

    assert eventually(lambda: found() == {name})
    begun = {source: hypervisor.asked.count(BEGINS[source]) for source in SOURCES}
    for _ in range(5):
        assert found() == {name}
    for source in SOURCES.keys() - {name}:
        assert hypervisor.asked.count(BEGINS[source]) > begun[source]
        assert f" {source}: no answer" not in plugin.log.text
    hypervisor.answer()
    assert eventually(lambda: not found())
    assert plugin.finish() == 0
    assert "Traceback" not in plugin.log.text


def all_sources(timeout: str) -> str:
    """The options that read all sources at each tick, with this timeout."""
    tables = "".join(
        f'[inputs.libvirt.{name}]\ninterval = "1ms"\ntimeout = "{timeout}"\n' for name in SOURCES
    )
    return f'additional_statistics = ["health", {ALL}]\n{tables}'


def test_fetches_that_hang_are_limited(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """If all sources hang, the daemon has a limited number of their requests. The bulk lines come
    as before, and afterwards all sources are read."""
    hypervisor = daemon()
    lists = set(BEGINS.values())
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "10s"\n{all_sources("200ms")}')
    plugin = start("--config", path)

    def asked() -> int:
        return sum(hypervisor.asked.count(procedure) for procedure in lists)

    tick_at_once(plugin, 1)
    assert eventually(lambda: hypervisor.asked.count(LIST_ALL_NETWORKS) > 0)
    hypervisor.unanswered.update(lists)
    begun = asked()
    for number in range(2, 17):
        tick_at_once(plugin, number)
        time.sleep(0.1)
    # From four on that hang, no further one begins beside those that have begun.
    most = MOST_HANGING + FETCH_LINKS + SOURCES["guest_agent"].lanes
    assert MOST_HANGING < asked() - begun <= most
    hypervisor.answer()
    assert eventually(
        lambda: plugin.tick() or all(health(plugin.metrics.lines, name) for name in SOURCES)
    )
    assert plugin.finish() == 0


def test_one_source_leaves_room_for_the_others(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """However many domains hang, a source has a limited number of fetches; the others go on."""
    hypervisor = daemon(crowd=Crowd(20))
    hypervisor.unanswered.add(GET_JOB_STATS)
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "10s"\n{all_sources("200ms")}')
    plugin = start("--config", path)

    def fetched(count: int) -> bool:
        plugin.tick()
        time.sleep(0.1)
        return hypervisor.asked.count(GET_JOB_STATS) >= count

    assert eventually(lambda: fetched(MOST_HANGING + 1))
    networks = hypervisor.asked.count(LIST_ALL_NETWORKS)
    for _ in range(10):
        fetched(0)
    assert hypervisor.asked.count(GET_JOB_STATS) == MOST_HANGING + 1
    assert hypervisor.asked.count(LIST_ALL_NETWORKS) >= networks + 5
    hypervisor.answer()
    plugin.wait_for_message(" job: works again")
    assert plugin.finish() == 0


def test_sources_share_connections(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """With all sources on there are few connections: one for the bulk statistics, three for the
    sources, and those of the guest agent."""
    hypervisor = daemon()
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "10s"\n{all_sources("10s")}')
    plugin = start("--config", path)
    for number in range(1, 11):
        tick_at_once(plugin, number)
        time.sleep(0.05)
    assert plugin.finish() == 0
    assert hypervisor.connections <= 1 + FETCH_LINKS + SOURCES["guest_agent"].lanes


def test_a_daemon_without_a_free_place(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """If the daemon accepts one client only, its connection serves all, and the log says it once;
    sources with a connection of their own say it as well."""
    hypervisor = daemon(most_connections=1)
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "10s"\n{all_sources("10s")}')
    plugin = start("--config", path)
    for number in range(1, 11):
        tick_at_once(plugin, number)
        time.sleep(0.05)
    assert hypervisor.asked.count(GET_JOB_STATS) > 1
    assert plugin.finish() == 0
    said = [line for line in plugin.log.lines if not line.startswith("I!")]
    assert sum("no free place for clients: max_clients" in line for line in said) == 1
    # The daemon may close the socket before or after the first message.
    refused = [line for line in said if " guest_agent: " in line]
    assert 1 <= len(refused) == len({*refused}) <= 2, said
    assert hypervisor.connections < 1 + 10 + 10


def test_a_daemon_that_lets_further_clients_wait(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """A source that needs a connection of its own says why it has none; all else works."""
    hypervisor = daemon(most_connections=1, queueing=True)
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["guest_agent"]\n'
        'timeout = "10s"\n[inputs.libvirt.guest_agent]\ntimeout = "200ms"'
    )
    plugin = start("--config", path)
    tick_at_once(plugin, 1)
    (warning,) = plugin.wait_for_message("guest_agent: no turn: no connection was made in time")
    assert warning.endswith(
        "has the daemon no free place for clients (max_clients in its configuration)?"
    )
    tick_at_once(plugin, 2)
    assert plugin.finish() == 0


def test_a_subscription_that_hangs(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """If the daemon does not answer the subscription to events, statistics and sources go on."""
    hypervisor = daemon()
    hypervisor.unanswered.add(EVENTS_REGISTER)
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["health", "event", "job"]\n'
        'timeout = "2s"\n[inputs.libvirt.job]\ninterval = "1ms"'
    )
    plugin = start("--config", path)
    for number in range(1, 4):
        tick_at_once(plugin, number)
    assert eventually(lambda: plugin.tick_and_go_on() or hypervisor.asked.count(GET_JOB_STATS) > 2)
    assert hypervisor.asked.count(EVENTS_REGISTER) == 1
    hypervisor.answer()
    assert plugin.finish() == 0


def test_a_hung_source_is_not_waited_for(
    daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """--once waits for a source for its timeout only, and succeeds without it."""
    hypervisor = daemon()
    hypervisor.unanswered.add(GET_JOB_STATS)
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["job"]\n'
        'timeout = "5s"\n[inputs.libvirt.job]\ntimeout = "300ms"'
    )
    started = time.monotonic()
    done = run("--config", path, "--once")
    assert time.monotonic() - started < SECONDS / 5
    assert done.returncode == 0 and "libvirt_state," in done.stdout
    assert done.stderr.count("job: no answer within 0.3s") == 1


def test_a_source_has_its_own_interval(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """A source with an interval is not read at each tick."""
    hypervisor = daemon()
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["job"]\n'
        '[inputs.libvirt.job]\ninterval = "1h"'
    )
    plugin = start("--config", path)
    for number in range(1, 6):
        plugin.tick()
        plugin.wait_for_states(number)
    assert eventually(lambda: GET_JOB_STATS in hypervisor.asked)
    assert plugin.finish() == 0
    assert hypervisor.asked.count(GET_JOB_STATS) == 1


def test_a_source_connects_again(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """After the daemon has dropped its connections, sources come back without a message."""
    first = daemon()
    path = config(f'libvirt_uri = "{first.uri}"\nadditional_statistics = ["job"]')
    plugin = start("--config", path)
    plugin.tick()
    plugin.wait_for_states(1)
    assert eventually(lambda: GET_JOB_STATS in first.asked)
    first.close()
    second = daemon()

    def asked() -> bool:
        plugin.tick()
        time.sleep(0.05)
        return GET_JOB_STATS in second.asked

    assert eventually(asked)
    assert plugin.finish() == 0
    assert [
        line for line in plugin.log.lines if "job: " in line and "works again" not in line
    ] == []


def test_a_domain_that_hangs_is_left_out(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """A source goes on without the domain whose call hangs, and takes it in again afterwards."""
    hypervisor = daemon()
    hypervisor.unanswered.add(GET_JOB_STATS)
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["health", "job"]\n'
        'timeout = "10s"\n[inputs.libvirt.job]\ntimeout = "200ms"\ninterval = "1ms"'
    )
    plugin = start("--config", path)

    def ticks() -> None:
        """Some ticks, far beyond the timeout of the source."""
        for _ in range(12):
            plugin.tick()
            time.sleep(0.1)

    tick_at_once(plugin, 1)
    ticks()
    assert len(plugin.wait_for_message("job: no answer within 0.2s for domain guest")) == 1
    assert hypervisor.asked.count(GET_JOB_STATS) == 1
    assert hypervisor.asked.count(LIST_ALL_DOMAINS) > 2
    last = health(plugin.metrics.lines, "job")[-1]
    assert " up=0i," in last and ",errors=1i,hanging=1i" in last
    hypervisor.answer()
    plugin.wait_for_message("job: works again")
    ticks()
    assert hypervisor.asked.count(GET_JOB_STATS) > 2
    assert " up=1i," in health(plugin.metrics.lines, "job")[-1]
    assert plugin.finish() == 0


def test_a_refused_source_gives_advice(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """If the read-write connection is refused, all else works, and one message gives advice."""
    hypervisor = daemon(read_only=True)
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["health", "guest_agent"]\n'
        '[inputs.libvirt.guest_agent]\ninterval = "1ms"'
    )
    done = run("--config", path, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    reason = "authentication failed: access denied by policy"
    assert f"  source guest_agent: does not work: {reason}\n" in done.stdout
    assert "  what helps: the guest agent needs a read-write connection: " in done.stdout
    assert "org.libvirt.unix.manage" in done.stdout

    before = hypervisor.connections
    plugin = start("--config", path)
    for number in range(1, 16):
        plugin.tick()
        plugin.wait_for_states(number)
        time.sleep(0.05)
    assert plugin.finish() == 0
    (message,) = plugin.wait_for_message("guest_agent: ")
    assert reason in message and "org.libvirt.unix.manage" in message
    assert hypervisor.connections - before <= 1 + 2 * 4
    assert " up=0i," in health(plugin.metrics.lines, "guest_agent")[-1]


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (
            (38, 7, "Failed to connect socket to '/var/run/libvirt/virtnetworkd-sock-ro': none"),
            "systemctl start virtnetworkd-ro.socket",
        ),
        (
            (88, 24, "access denied: 'network' denied access"),
            "allow this user the polkit action org.libvirt.api.connect.search-networks",
        ),
    ],
)
def test_a_source_whose_daemon_is_missing_or_refuses(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    error: tuple[int, int, str],
    helps: str,
) -> None:
    """The daemon that is asked passes on the error of another one, or refuses this call only. The
    connection stays, the log has one warning with what helps, and one line when it works again."""
    hypervisor = daemon()
    hypervisor.failing[LIST_ALL_NETWORKS] = error
    path = config(
        f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["health", "network"]\n'
        '[inputs.libvirt.network]\ninterval = "1ms"'
    )
    report = run("--config", path, "--check").stdout
    assert f"  source network: does not work: {error[2]}\n" in report and helps in report

    hypervisor.asked.clear()
    plugin = start("--config", path)
    assert eventually(
        lambda: plugin.tick_and_go_on() or hypervisor.asked.count(LIST_ALL_NETWORKS) > 1
    )
    connections = hypervisor.connections
    hypervisor.failing.clear()
    assert eventually(
        lambda: plugin.tick_and_go_on() or any("works again" in x for x in plugin.log.lines)
    )
    assert plugin.finish() == 0
    warning, again = plugin.wait_for_message("network: ")
    assert warning.startswith("W! ") and error[2] in warning and helps in warning
    assert again.startswith("I! ") and hypervisor.connections == connections


def test_idle_sources_do_not_keep_it_running(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """Threads and connections of sources do not keep the program from ending."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = [{ALL}]')
    plugin = start("--config", path)
    plugin.tick()
    plugin.wait_for_states(1)
    assert plugin.finish() == 0
