"""Which domains are asked and written; the summaries of domains and of the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from line_protocol_parser import parse_line

from support.crowd import Crowd, guest
from support.plugin import Plugin, run
from support.server import (
    GET_ALL_DOMAIN_STATS,
    GET_XML_DESC,
    NODE_GET_CPU_STATS,
    NODE_GET_INFO,
    NODE_GET_MEMORY_STATS,
    Daemon,
)

NAMES = ("web-1", "web-2", "db-1", "db-2", "test")

RUNNING, PAUSED, SHUTOFF, CRASHED, SUSPENDED = 1, 3, 5, 6, 7

STATE, CPU, BALLOON, VCPU, NET, BLOCK = (1 << bit for bit in range(6))

FILTERS = 0xF0
"""All of libvirt's filters by state."""

Tick = Callable[[], list[dict[str, Any]]]


def names(lines: list[dict[str, Any]]) -> set[str]:
    """The numbers of the guests of a crowd, or the names of other domains."""
    return {line["tags"]["domain_name"] for line in lines if "domain_name" in line["tags"]}


def guests(*numbers: int) -> set[str]:
    """The names of these guests of a crowd."""
    return {guest(number) for number in numbers}


def one(lines: list[dict[str, Any]], measurement: str) -> dict[str, Any]:
    """The fields of the only line of a measurement."""
    (line,) = [line for line in lines if line["measurement"] == measurement]
    return dict(line["fields"])


@pytest.fixture
def begin(start: Callable[..., Plugin], config: Callable[..., Path]) -> Callable[..., Tick]:
    """Start the plugin with these options on a daemon; return a function that makes a tick."""

    def begin(daemon: Daemon, *options: str, additional: tuple[str, ...] = ()) -> Tick:
        text = [
            f'libvirt_uri = "{daemon.uri}"',
            f"additional_statistics = {['health', *additional]}",
            *options,
        ]
        plugin = start("--config", config("\n".join(text)))

        def tick() -> list[dict[str, Any]]:
            plugin.metrics.forget()
            plugin.tick_and_go_on()
            lines = plugin.metrics.wait_for(
                lambda lines: lines and lines[-1].startswith("libvirt_health,"), "a tick"
            )
            return [parse_line(line) for line in lines]

        return tick

    return begin


# Names


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ('domain_include = ["web-*"]', "web-1 web-2"),
        ('domain_include = ["{web,db}-1", "tes?"]', "web-1 db-1 test"),
        ('domain_exclude = ["*-[!1]"]', "web-1 db-1 test"),
        ('domain_include = ["web-*", "db-*"]\ndomain_exclude = ["*-2"]', "web-1 db-1"),
        ('domain_include = ["web"]', ""),
        ('domain_include = ["test"]\ndomain_exclude = ["test"]', ""),
        ('domains = ["web-1", "db-1"]\ndomain_exclude = ["db-*"]', "web-1"),
        ('domain_state_include = ["running"]', " ".join(NAMES)),
        ('domain_state_include = ["shutoff", "crashed"]', ""),
    ],
)
def test_globs(
    config: Callable[..., Path], with_domains: Callable[..., str], options: str, selected: str
) -> None:
    """Domains are written if a glob includes them, or if there is none, and no glob excludes them;
    --check counts them, and warns if there are none."""
    path = config(f'libvirt_uri = "{with_domains(*NAMES)}"\n{options}')
    done = run("--once", "--config", path)
    assert done.returncode == 0, done.stderr
    assert names([parse_line(line) for line in done.stdout.splitlines()]) == {*selected.split()}
    report = run("--check", "--config", path)
    assert report.returncode == 0
    count = len(selected.split())
    of = "" if count == len(NAMES) else f" of {len(NAMES)}"
    assert f"  domains: {count}{of}, of which {count} run\n" in report.stdout
    assert ("warning: no domain is selected" in report.stdout) == (count == 0)


def test_no_warning_if_there_is_no_domain(
    daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """Where no domain exists, none has been left out."""
    path = config(f'libvirt_uri = "{daemon(crowd=Crowd(0)).uri}"\ndomain_include = ["a"]')
    done = run("--check", "--config", path)
    assert "  domains: 0, of which 0 run\n" in done.stdout and "warning" not in done.stdout


def test_a_domain_in_another_state_exists(
    daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """A configured domain in another state is reported as perhaps existing."""
    crowd = Crowd(2)
    crowd.off.add(guest(2))
    wanted = f'domains = ["{guest(1)}", "{guest(2)}", "nobody"]\ndomain_state_include = ["running"]'
    path = config(f'libvirt_uri = "{daemon(crowd=crowd).uri}"\n{wanted}')
    done = run("--check", "--config", path)
    assert "  domains: 1 of 2, of which 1 run\n" in done.stdout
    expected = f"  domains that are not there or not selected: {guest(2)}, nobody\n"
    assert expected in done.stdout


def test_domains_beside_domain_include(config: Callable[..., Path]) -> None:
    """Both options together are one error, with advice."""
    path = config('libvirt_uri = "test:///default"\ndomains = ["a"]\ndomain_include = ["b*"]')
    done = run("--once", "--config", path)
    (error,) = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == ""
    assert "inputs.libvirt[0].domain_include: cannot be combined with domains" in error


# States


@pytest.mark.parametrize(
    ("states", "flags", "selected", "by_name"),
    [
        (["running"], 0x10, {1, 2}, False),
        (["paused", "shutoff"], 0x60, {3, 4}, True),
        (["running", "pmsuspended"], 0x90, {1, 2, 6}, False),
        (["crashed"], 0x80, {5}, True),
        (["blocked"], 0x80, set(), False),
    ],
)
def test_states(
    daemon: Callable[..., Daemon],
    begin: Callable[..., Tick],
    states: list[str],
    flags: int,
    selected: set[int],
    by_name: bool,
) -> None:
    """libvirt's filters leave out what they can, the answer is filtered again, and no group that is
    not wanted is written."""
    crowd = Crowd(6)
    crowd.states = {
        guest(number): state
        for number, state in enumerate((PAUSED, SHUTOFF, CRASHED, SUSPENDED), start=3)
    }
    more = ['domain_exclude = ["nobody"]'] if by_name else []
    options = [f"domain_state_include = {states}", 'statistics_groups = ["balloon"]', *more]
    tick = begin(daemon(crowd=crowd), *options)
    for _ in range(2):
        lines = tick()
        assert names(lines) == guests(*selected)
        assert one(lines, "libvirt_health")["domains"] == len(selected)
        assert {line["measurement"] for line in lines} <= {"libvirt_balloon", "libvirt_health"}
    assert {(groups, bits & FILTERS) for groups, bits in crowd.requests} <= {
        (STATE | BALLOON, flags)
    }


@pytest.mark.parametrize("crowd_size", [5, 250])
def test_a_change_of_state(
    daemon: Callable[..., Daemon], begin: Callable[..., Tick], crowd_size: int
) -> None:
    """A guest whose state changes is selected or dropped in the same tick."""
    crowd = Crowd(crowd_size)
    everybody = guests(*range(1, crowd_size + 1))
    tick = begin(daemon(crowd=crowd), 'domain_state_include = ["running"]')
    for state in (SHUTOFF, RUNNING, PAUSED, CRASHED, RUNNING):
        crowd.states[guest(2)] = state
        assert names(tick()) == everybody - (set() if state == RUNNING else guests(2))


# Summaries

GROUPS = [
    ('statistics_groups = ["interface"]', {"libvirt_net", "libvirt_net_total"}),
    (
        'statistics_groups = ["interface"]\nmetric_set = "full"',
        {"libvirt_net", "libvirt_net_total"},
    ),
    ("statistics_groups = []", set()),
    ("statistics_groups = []\nmetric_set = 'full'", set()),
]


@pytest.mark.parametrize(("options", "measurements"), GROUPS)
def test_summaries_with_some_groups(
    daemon: Callable[..., Daemon],
    begin: Callable[..., Tick],
    options: str,
    measurements: set[str],
) -> None:
    """Summaries request the groups that they need, without writing these groups' own lines."""
    crowd = Crowd(3)
    crowd.states = {guest(2): PAUSED, guest(3): SHUTOFF}
    hypervisor = daemon(crowd=crowd)
    tick = begin(hypervisor, options, additional=("domain", "node"))
    tick()
    hypervisor.asked.clear()
    lines = tick()
    assert {line["measurement"] for line in lines} == {
        *("libvirt_domain", "libvirt_node", "libvirt_health"),
        *measurements,
    }
    assert {groups for groups, _ in crowd.requests} == {STATE | CPU | BALLOON | VCPU | NET | BLOCK}
    summaries = {
        line["tags"]["domain_name"]: line["fields"]
        for line in lines
        if line["measurement"] == "libvirt_domain"
    }
    assert summaries.keys() == guests(1, 2, 3)
    first = summaries[guest(1)]
    # The crowd's numbers: time is 10000, delay is 10000 for each vCPU, bytes are 100000.
    assert {name: first[name] for name in ("state", "state_name", "running", "vcpus")} == {
        "state": 1,
        "state_name": "running",
        "running": 1,
        "vcpus": 4,
    }
    assert {name: first[name] for name in first if name.endswith(("_time", "_bytes"))} == {
        "cpu_time": 10_000,
        "vcpu_time": 4 * 10_000,
        "steal_time": 4 * 10_000,
        "disk_read_bytes": 2 * 100_000,
        "disk_write_bytes": 2 * 100_000,
        "net_rx_bytes": 2 * 10_000,
        "net_tx_bytes": 2 * 10_000,
    }
    texts = {name: first[name] for name in ("title", "os_type", "machine")}
    assert texts == {"title": f"Title of {guest(1)}", "os_type": "hvm", "machine": "pc-q35-7.2"}
    off = summaries[guest(3)]
    assert off["state_name"] == "shutoff" and off["running"] == 0 and "cpu_time" not in off
    assert "memory_used_kib" not in off and off["title"] == f"Title of {guest(3)}"
    assert one(lines, "libvirt_health")["domains_untagged"] == 0
    assert GET_XML_DESC not in hypervisor.asked


def test_the_node(daemon: Callable[..., Daemon], begin: Callable[..., Tick]) -> None:
    """The line of the node has the host's numbers and the sums over all domains, by three calls."""
    crowd = Crowd(150)
    states = (PAUSED, SHUTOFF, CRASHED, SUSPENDED)
    crowd.states = {guest(number): state for number, state in enumerate(states, start=101)}
    hypervisor = daemon(crowd=crowd)
    tick = begin(hypervisor, additional=("node",))
    memory = 8_130_144 + 4096  # KiB of each guest of a crowd, at most
    for _ in range(3):
        hypervisor.asked.clear()
        lines = tick()
        assert one(lines, "libvirt_node") == {
            "cpus": 8,
            "memory_kib": 64 << 20,
            "memory_free_kib": 12_345,
            "cpu_user": 1000,
            "cpu_system": 2000,
            "cpu_idle": 3000,
            "cpu_iowait": 4000,
            "domains_running": 146,
            "domains_paused": 1,
            "domains_shutoff": 1,
            "domains_crashed": 1,
            "domains_other": 1,
            "vcpus_defined": 150 * 4,
            "vcpus_running": 149 * 4,
            "memory_defined_kib": 150 * memory,
            "memory_running_kib": 149 * memory,
        }
        (node,) = [line for line in lines if line["measurement"] == "libvirt_node"]
        assert [*node["tags"]] == ["libvirt_uri"] and node["tags"]["libvirt_uri"].startswith("qemu")
    # For the statistics of a host libvirt asks twice: how many there are, and for them.
    extra = (NODE_GET_INFO, NODE_GET_CPU_STATS, NODE_GET_MEMORY_STATS)
    assert [hypervisor.asked.count(call) for call in extra] == [1, 2, 2]
    assert GET_XML_DESC not in hypervisor.asked
    assert hypervisor.asked.count(GET_ALL_DOMAIN_STATS) == 2


def test_the_sums_are_of_the_selected_domains(
    daemon: Callable[..., Daemon], begin: Callable[..., Tick]
) -> None:
    """Domains that are not selected are in no sum; the groups for the sums are requested."""
    crowd = Crowd(5)
    crowd.off.add(guest(5))
    chosen = f'domain_exclude = ["{guest(1)}"]\ndomain_state_include = ["running"]'
    tick = begin(daemon(crowd=crowd), chosen, "statistics_groups = []", additional=("node",))
    node = one(tick(), "libvirt_node")
    assert {groups for groups, _ in crowd.requests} == {STATE | BALLOON | VCPU}
    assert node["domains_running"] == 3 and node["domains_shutoff"] == 0
    assert node["vcpus_defined"] == node["vcpus_running"] == 12


def test_no_node_without_an_answer(
    daemon: Callable[..., Daemon], begin: Callable[..., Tick]
) -> None:
    """While the hypervisor cannot be read there is no line of the node, and afterwards no sum has
    counted a domain twice."""
    hypervisor = daemon(crowd=Crowd(5), error=(1, 10, "no luck"))
    tick = begin(hypervisor, additional=("node",))
    assert [line["measurement"] for line in tick()] == ["libvirt_health"]
    hypervisor.error = None
    assert one(tick(), "libvirt_node")["domains_running"] == 5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ('domains = ["tset"]', 'domains: there is no domain "tset"; did you mean "test"?'),
        ('domains = ["web-1", "DB-1"]', 'domains: there is no domain "DB-1"; did you mean "db-1"?'),
        (
            'domains = ["web-1", "x"]\ndomain_state_include = ["running"]',
            'domains: there is no domain "x"; virsh list --all --name shows the names',
        ),
        ('domain_include = ["wbe-*"]', 'no domain matches "wbe-*"; did you mean "web-'),
        ('domain_exclude = ["*"]', "domain_exclude: it matches each domain that is left; it"),
        ('domain_state_include = ["paused"]', "no domain is in one of these states; it selects"),
        ('domains = ["web-1"]\ndomain_state_include = ["paused"]', "domain_state_include: no"),
        ('domain_include = ["web-*", "nosuch"]', None),
        ('domains = ["web-1"]', None),
        ("", None),
    ],
)
def test_mistakes_in_the_selection(
    start: Callable[..., Plugin],
    config: Callable[..., Path],
    with_domains: Callable[..., str],
    options: str,
    expected: str | None,
) -> None:
    """A name that is not there, and a selection that selects nothing, are one warning, with the
    name that is probably meant; --check says it too, and with --strict it is a failure."""
    path = config(
        f'libvirt_uri = "{with_domains(*NAMES)}"\nadditional_statistics = ["health"]\n{options}'
    )
    plugin = start("--config", path)
    for number in range(3):
        plugin.tick()
        plugin.metrics.wait_for(
            lambda lines, seen=number: sum("libvirt_health" in x for x in lines) > seen, "health"
        )
    assert plugin.finish() == 0
    warnings = [line for line in plugin.log.lines if line.startswith("W! ")]
    assert len(warnings) == (expected is not None)
    assert expected is None or expected in warnings[0]
    report = run("--check", "--strict", "--config", path)
    assert report.returncode == (3 if expected else 0), report.stdout
    help = (expected or "").partition("; ")[2]
    assert help in report.stdout and ("  what helps: " in report.stdout) == bool(expected)


def test_two_tables_with_the_same_series(
    start: Callable[..., Plugin], config: Callable[..., Path], with_domains: Callable[..., str]
) -> None:
    """Guests of the same names on two hosts, without a tag that differs, give one warning with the
    line to add, and the same in --check; with the line there is none."""
    uris = [with_domains("web", "db", file=f"{name}.xml") for name in ("one", "two")]
    line = 'tags = { hypervisor = "test-1" }'
    for added, warnings in (("", 1), (line, 0)):
        tables = [f'libvirt_uri = "{uri}"' for uri in uris]
        path = config(tables[0], f"{tables[1]}\n{added}")
        plugin = start("--config", path)
        for count in (4, 8, 12):
            plugin.tick()
            plugin.wait_for_states(count)
        assert plugin.finish() == 0
        found = [text for text in plugin.log.lines if text.startswith("W! ")]
        assert len(found) == warnings
        assert all(text.endswith(f"; add to inputs.libvirt[1]: {line}") for text in found)
        done = run("--check", "--config", path)
        assert done.stdout.count(f"what helps: add to inputs.libvirt[1]: {line}") == warnings
