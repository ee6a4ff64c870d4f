"""Sources beside the bulk statistics: their lines, and what one of them costs when it fails."""

from __future__ import annotations

import re
import signal

import pytest

from support.crowd import one_guest
from support.host import Config, Daemons, Hosts, Start
from support.plugin import TEST_DRIVER, eventually, run, states
from support.server import (
    EVENTS_REGISTER,
    GET_GUEST_INFO,
    GET_JOB_STATS,
    LIST_ALL_DOMAINS,
    LIST_ALL_NETWORKS,
)
from telegraf_execd_libvirt.sources import SOURCES

#: A procedure that only this source calls: of a domain, of the host, by a connection of its own.
OWN = {"job": GET_JOB_STATS, "network": LIST_ALL_NETWORKS, "guest_agent": GET_GUEST_INFO}

#: A domain with all that sources ask about.
XML = (
    "<domain><devices><disk><target dev='vda'/></disk><interface><target dev='vnet0'/></interface>"
    "<channel><target name='org.qemu.guest_agent.0' state='connected'/></channel></devices>"
    "</domain>"
)

ALL = f"additional_statistics = {['health', *SOURCES]}"


def table(source: str, timeout: str = "20s") -> str:
    """The table of a source that is read at each tick."""
    return f'[inputs.libvirt.{source}]\ninterval = "1ms"\ntimeout = "{timeout}"'


def test_all_sources_on_the_test_driver(start: Start, config: Config) -> None:
    """With all sources on, the bulk lines and the exit status of --once are the usual ones, and
    --check has a line for each. What the driver lacks is said once, and is no error."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\n{ALL}')
    done = run("--config", path, "--once")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "\nlibvirt_state,domain_name=test state=1i,reason=0i " in f"\n{done.stdout}"

    done = run("--config", path, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert {*re.findall(r"  source (\w+): ", done.stdout)} == {*SOURCES}
    missing = "not supported: this function is not supported by the connection driver"
    assert f"  source job: {missing}" in done.stdout

    plugin = start("--config", path)
    job = "libvirt_source_health,libvirt_uri=test:///default,source=job up=0i,"
    assert eventually(lambda: plugin.tick_and_go_on() or plugin.metrics.text.count(job) > 2)
    assert plugin.finish() == 0
    assert len(plugin.wait_for_message(" job: this function is not supported")) == 1
    assert all(",errors=0i," in line for line in plugin.metrics.lines if line.startswith(job))


@pytest.mark.thorough
def test_a_source_hangs(host: Hosts, daemon: Daemons) -> None:
    """With all sources on, a call of one source that hangs delays neither the bulk lines nor the
    other sources; afterwards the source is read again. If all hang, the bulk lines come."""
    hypervisor = daemon(crowd=one_guest(XML))
    tables = (table(source, "300ms") for source in SOURCES)
    ticked = host(hypervisor, 'timeout = "60s"', *tables, also=[*SOURCES])

    def hanging() -> set[str]:
        """The sources that hang, by their health in one more tick, which has the bulk lines."""
        assert len(states(ticked.tick())) == 1
        pattern = r"libvirt_source_health,.*source=(\w+) .*\bhanging=[^0]"
        return {found[1] for x in ticked.plugin.metrics.lines if (found := re.match(pattern, x))}

    rest: set[int] = set()

    def others_go_on() -> bool:
        rest.difference_update(ticked.asked)  # since the last tick; the next one begins anew
        assert hanging()
        return not rest

    for name, own in OWN.items():
        hypervisor.unanswered.add(own)
        assert eventually(lambda: hanging() or ticked.asked[own]), name  # noqa: B023
        ticked.plugin.wait_for_message(f" {name}: no answer within 0.3s")
        assert eventually(lambda: hanging() == {name}), name  # noqa: B023
        rest.update({LIST_ALL_DOMAINS, LIST_ALL_NETWORKS} - {own})
        assert eventually(others_go_on), (name, rest)
        hypervisor.answer()
        assert eventually(lambda: name not in hanging()), name  # noqa: B023
    hypervisor.unanswered.update({LIST_ALL_DOMAINS, LIST_ALL_NETWORKS})
    assert eventually(lambda: len(hanging()) > 3)
    hypervisor.answer()
    rest.add(GET_JOB_STATS)
    assert eventually(lambda: rest.difference_update(ticked.asked) or not (hanging() or rest))
    assert ticked.plugin.finish() == 0
    assert "Traceback" not in ticked.plugin.log.text


def test_once_waits_for_a_hung_source_for_its_timeout_only(daemon: Daemons, config: Config) -> None:
    """The call hangs until the end; --once succeeds without the source."""
    hypervisor = daemon()
    hypervisor.unanswered.add(GET_JOB_STATS)
    options = f'additional_statistics = ["job"]\ntimeout = "60s"\n{table("job", "300ms")}'
    done = run("--config", config(f'libvirt_uri = "{hypervisor.uri}"\n{options}'), "--once")
    assert done.returncode == 0 and "libvirt_state," in done.stdout
    assert done.stderr.count("job: no answer within 0.3s for domain guest") == 1


@pytest.mark.parametrize("queueing", [False, True])
def test_a_daemon_without_a_free_place(host: Hosts, daemon: Daemons, queueing: bool) -> None:
    """If the daemon accepts one client only, or lets others wait, its connection serves all; a
    source that needs a connection of its own says why it has none."""
    hypervisor = daemon(crowd=one_guest(XML), most_connections=1, queueing=queueing)
    tables = (table("job"), table("network"), table("guest_agent", "2s"))
    also = ["job", "network", "guest_agent"]
    ticked = host(hypervisor, 'timeout = "60s"', *tables, also=also)
    said = "guest_agent: no turn: no connection was made in time" if queueing else "max_clients"
    for _ in range(5):
        assert len(states(ticked.tick())) == 1
        if not queueing:
            assert eventually(lambda: ticked.asked[GET_JOB_STATS] > 0)
        ticked.plugin.wait_until_idle()
    (warning,) = ticked.plugin.wait_for_message(said)
    assert "no free place for clients" in warning and "max_clients in its config" in warning
    assert ticked.plugin.finish() == 0
    assert hypervisor.connections < 1 + 10 + 10


def test_a_subscription_that_hangs(host: Hosts, daemon: Daemons) -> None:
    """If the daemon does not answer the subscription to events, statistics and sources go on."""
    hypervisor = daemon()
    hypervisor.unanswered.add(EVENTS_REGISTER)
    ticked = host(hypervisor, 'timeout = "2s"', table("job"), also=["event", "job"])
    ticked.begin()
    assert eventually(lambda: EVENTS_REGISTER in hypervisor.asked)
    assert len(states(ticked.end())) == 1
    for _ in range(2):
        assert eventually(lambda: states(ticked.tick()) and ticked.asked[GET_JOB_STATS] > 0)
        assert EVENTS_REGISTER not in hypervisor.asked
    hypervisor.answer()
    assert ticked.plugin.finish() == 0


def test_a_refused_source_gives_advice(daemon: Daemons, config: Config) -> None:
    """If the read-write connection is refused, --check says so, and what helps."""
    hypervisor = daemon(crowd=one_guest(XML), read_only=True)
    options = f'additional_statistics = ["guest_agent"]\n{table("guest_agent")}'
    done = run("--config", config(f'libvirt_uri = "{hypervisor.uri}"\n{options}'), "--check")
    assert (done.returncode, done.stderr) == (0, "")
    reason = "authentication failed: access denied by policy"
    assert f"  source guest_agent: does not work: {reason}\n" in done.stdout
    assert "  what helps: the guest agent needs a read-write connection: " in done.stdout
    assert "org.libvirt.unix.manage" in done.stdout


def test_a_source_whose_daemon_is_missing(host: Hosts, daemon: Daemons, config: Config) -> None:
    """The daemon that is asked passes on the error of another one. The connection stays, the log
    has one warning with what helps, and one line when it works again."""
    hypervisor = daemon()
    error = "Failed to connect socket to '/var/run/libvirt/virtnetworkd-sock-ro': none"
    helps = "systemctl start virtnetworkd-ro.socket"
    hypervisor.failing[LIST_ALL_NETWORKS] = (38, 7, error)
    options = f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["network"]'
    report = run("--config", config(options), "--check").stdout
    assert f"  source network: does not work: {error}\n" in report and helps in report

    ticked = host(hypervisor, table("network"), also=["network"])
    assert eventually(lambda: ticked.tick() and "network: " in ticked.plugin.log.text)
    hypervisor.failing.clear()
    assert eventually(lambda: ticked.tick() and "network: works again" in ticked.plugin.log.text)
    assert ticked.plugin.finish() == 0
    warning, again = ticked.plugin.wait_for_message("network: ")
    assert warning.startswith("W! ") and error in warning and helps in warning
    assert again.startswith("I! ") and ticked.health["reconnects"] == 0


def test_the_timeout_of_an_agent_is_restored_at_the_end(host: Hosts, daemon: Daemons) -> None:
    """If a signal ends the program while an agent is asked, the timeout of that agent, which holds
    for all clients, is libvirt's default again; a daemon that hangs does not delay the end."""
    hypervisor = daemon(crowd=one_guest(XML))
    hypervisor.unanswered = {GET_GUEST_INFO}
    ticked = host(hypervisor, 'timeout = "60s"', table("guest_agent", "5s"), also=["guest_agent"])
    ticked.begin()
    assert eventually(lambda: GET_GUEST_INFO in hypervisor.asked)
    assert hypervisor.agent_timeout == 2
    ticked.plugin.signal(signal.SIGTERM)
    assert ticked.plugin.wait() == 0
    assert hypervisor.agent_timeout == -2
