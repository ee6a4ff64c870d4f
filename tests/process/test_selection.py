"""Which domains are asked and written; the summaries of domains and of the node."""

from __future__ import annotations

from typing import Any

import pytest
from line_protocol_parser import parse_line

from support.crowd import Crowd, guest
from support.host import Config, Daemons, Hosts, Line, Start, WithDomains, sections
from support.plugin import Plugin, eventually, run
from support.server import (
    GET_ALL_DOMAIN_STATS,
    GET_XML_DESC,
    LIST_ALL_DOMAINS,
    NODE_GET_CPU_STATS,
    NODE_GET_INFO,
    NODE_GET_MEMORY_STATS,
)

NAMES = ("web-1", "web-2", "db-1", "db-2", "test")

RUNNING, PAUSED, SHUTOFF, CRASHED, SUSPENDED = 1, 3, 5, 6, 7

STATE, CPU, BALLOON, VCPU, NET, BLOCK = (1 << bit for bit in range(6))

FILTERS = 0xF0
"""All of libvirt's filters by state."""

HEALTH = 'additional_statistics = ["health"]'


def table(number: int, uri: str, *options: str) -> str:
    """The text of a table whose lines have a tag with its number."""
    return "\n".join([f'libvirt_uri = "{uri}"', *options, f'tags = {{ case = "{number}" }}'])


def by_case(lines: list[str]) -> dict[int, list[Line]]:
    """The parsed lines of each table."""
    found: dict[int, list[Line]] = {}
    for line in map(parse_line, lines):
        found.setdefault(int(line["tags"]["case"]), []).append(line)
    return found


def tick_all(plugin: Plugin, tables: int) -> dict[int, list[Line]]:
    """One tick of this many tables: the lines of each."""
    plugin.metrics.forget()
    plugin.tick_and_go_on()
    start = "libvirt_health,"
    return by_case(
        plugin.metrics.wait_for(
            lambda lines: sum(line.startswith(start) for line in lines) == tables, "a tick"
        )
    )


def names(lines: list[Line]) -> set[str]:
    """The names of the domains in lines."""
    return {line["tags"]["domain_name"] for line in lines if "domain_name" in line["tags"]}


def guests(*numbers: int) -> set[str]:
    """The names of these guests of a crowd."""
    return {guest(number) for number in numbers}


def one(lines: list[Line], measurement: str) -> dict[str, Any]:
    """The fields of the only line of a measurement."""
    (line,) = [line for line in lines if line["measurement"] == measurement]
    return dict(line["fields"])


# Names

SELECTED = [
    ('domain_include = ["web-*", "db-*"]\ndomain_exclude = ["*-2"]', "web-1 db-1"),
    ('domain_include = ["web"]', ""),
    ('domains = ["web-1", "db-1"]\ndomain_exclude = ["db-*"]', "web-1"),
    ('domain_state_include = ["running"]', " ".join(NAMES)),
    ('domain_state_include = ["shutoff", "crashed"]', ""),
]


def test_globs(config: Config, with_domains: WithDomains) -> None:
    """The selected domains are written; --check counts them, and warns if there are none. What a
    glob selects is tested in tests/domain."""
    uri = with_domains(*NAMES)
    path = config(*(table(n, uri, options) for n, (options, _) in enumerate(SELECTED)))
    done = run("--once", "--config", path)
    assert done.returncode == 0, done.stderr
    found = by_case(done.stdout.splitlines())
    report = run("--check", "--config", path)
    assert report.returncode == 0
    reports = sections(report.stdout)
    assert len(reports) == len(SELECTED)
    for number, (options, selected) in enumerate(SELECTED):
        assert names(found.get(number, [])) == {*selected.split()}, options
        count = len(selected.split())
        of = "" if count == len(NAMES) else f" of {len(NAMES)}"
        assert f"  domains: {count}{of}, of which {count} run\n" in reports[number]
        assert ("warning: no domain is selected" in reports[number]) == (count == 0)


def test_domains_that_check_misses(config: Config, daemon: Daemons) -> None:
    """Where no domain exists, none has been left out, and that explains each name that is not
    there. A configured domain in another state is reported as perhaps existing."""
    crowd = Crowd(2, off={guest(2)})
    wanted = f'domains = ["{guest(1)}", "{guest(2)}", "nobody"]\ndomain_state_include = ["running"]'
    empty = daemon(crowd=Crowd(0)).uri
    nobody, named = table(1, empty, 'domain_include = ["a"]'), table(2, empty, 'domains = ["web"]')
    path = config(nobody, named, table(3, daemon(crowd=crowd).uri, wanted))
    none, missing, some = sections(run("--check", "--config", path).stdout)
    assert "  domains: 0, of which 0 run\n" in none and "warning" not in none
    assert "not there: web\n  what helps: the hypervisor has no domains" in missing
    assert "  domains: 1 of 2, of which 1 run\n" in some
    assert f"  domains that are not there or not selected: {guest(2)}, nobody\n" in some


# States

STATES = {guest(n): s for n, s in enumerate((PAUSED, SHUTOFF, CRASHED, SUSPENDED), start=3)}

#: The states, libvirt's filters for them, the guests that have them, and more options.
BY_STATE = [
    (["running"], 0x10, {1, 2}, ""),
    (["paused", "shutoff"], 0x60, {3, 4}, 'domain_exclude = ["nobody"]'),
    (["running", "pmsuspended"], 0x90, {1, 2, 6}, ""),
    (["crashed"], 0x80, {5}, 'domain_exclude = ["nobody"]'),
    (["blocked"], 0x80, set(), ""),
]


def test_states(start: Start, config: Config, daemon: Daemons) -> None:
    """libvirt's filters leave out what they can, the answer is filtered again, and no group that is
    not wanted is written."""
    crowds = [Crowd(6, states=STATES) for _ in BY_STATE]
    groups = 'statistics_groups = ["balloon"]'
    tables = [
        table(n, daemon(crowd=crowd).uri, f"domain_state_include = {states}", groups, HEALTH, more)
        for n, (crowd, (states, _, _, more)) in enumerate(zip(crowds, BY_STATE))
    ]
    plugin = start("--config", config(*tables))
    for _ in range(2):
        found = tick_all(plugin, len(BY_STATE))
        for number, (_, _, selected, _) in enumerate(BY_STATE):
            lines = found[number]
            assert names(lines) == guests(*selected)
            assert one(lines, "libvirt_health")["domains"] == len(selected)
            assert {x["measurement"] for x in lines} <= {"libvirt_balloon", "libvirt_health"}
    for crowd, (_, flags, _, _) in zip(crowds, BY_STATE):
        found_flags = {(groups, bits & FILTERS) for groups, bits in crowd.requests}
        assert found_flags <= {(STATE | BALLOON, flags)}


@pytest.mark.parametrize("size", [5, 120])
def test_a_change_of_state(host: Hosts, size: int) -> None:
    """A guest whose state changes is selected or dropped in the same tick."""
    everybody = guests(*range(1, size + 1))
    ticked = host(Crowd(size), 'domain_state_include = ["running"]')
    for state in (SHUTOFF, RUNNING, PAUSED, CRASHED, RUNNING):
        ticked.crowd.states[guest(2)] = state
        assert names(ticked.read()) == everybody - (set() if state == RUNNING else guests(2))


# Summaries


@pytest.mark.parametrize(
    ("groups", "measurements", "full"),
    [
        ([], [], "metric_set = 'full'"),
        (["interface"], ["libvirt_net", "libvirt_net_total"], ""),
    ],
)
def test_summaries_with_some_groups(
    host: Hosts, groups: list[str], measurements: list[str], full: str
) -> None:
    """Summaries request the groups that they need, without writing these groups' own lines."""
    crowd = Crowd(3, states={guest(2): PAUSED, guest(3): SHUTOFF})
    ticked = host(crowd, f"statistics_groups = {groups}", full, also=("domain", "node"))
    ticked.tick()
    lines = ticked.read()
    summary = {"libvirt_domain", "libvirt_node", "libvirt_health"}
    assert {line["measurement"] for line in lines} == {*summary, *measurements}
    assert {groups for groups, _ in crowd.requests} == {STATE | CPU | BALLOON | VCPU | NET | BLOCK}
    summaries = {
        line["tags"]["domain_name"]: line["fields"]
        for line in lines
        if line["measurement"] == "libvirt_domain"
    }
    assert summaries.keys() == guests(1, 2, 3)
    first, off = summaries[guest(1)], summaries[guest(3)]
    # The crowd's numbers: time and delay are 10000, bytes are 100000.
    expected = {"state_name": "running", "vcpus": 4, "cpu_time": 10_000, "steal_time": 40_000}
    more = {
        "disk_read_bytes": 200_000,
        "disk_flush_time": 200_000,
        "net_rx_bytes": 20_000,
        "os_type": "hvm",
    }
    assert first == {**first, **expected, **more, "title": f"Title of {guest(1)}"}
    assert off["state_name"] == "shutoff" and off["running"] == 0 and "cpu_time" not in off
    assert "memory_used_kib" not in off and off["title"] == f"Title of {guest(3)}"
    assert ticked.health["domains_untagged"] == 0 and GET_XML_DESC not in ticked.asked


def test_the_node(host: Hosts) -> None:
    """The line of the node has the host's numbers and the sums over all domains, by three calls;
    while the hypervisor cannot be read there is none, and afterwards no domain counts twice."""
    states = (PAUSED, SHUTOFF, CRASHED, SUSPENDED)
    crowd = Crowd(150, states={guest(number): state for number, state in enumerate(states, 101)})
    ticked = host(crowd, also=("node",))
    memory = 8_130_144 + 4096  # KiB of each guest of a crowd, at most
    for number in range(3):
        if number == 2:
            ticked.daemon.failing[GET_ALL_DOMAIN_STATS] = (1, 10, "no luck")
            assert [line["measurement"] for line in ticked.read()] == ["libvirt_health"]
            ticked.daemon.failing.clear()
        lines = ticked.read()
        domains = {"running": 146, "paused": 1, "shutoff": 1, "crashed": 1, "other": 1}
        assert one(lines, "libvirt_node") == {
            **{"cpus": 8, "memory_kib": 64 << 20, "memory_free_kib": 12_345},
            **{"memory_buffers_kib": 1, "memory_cached_kib": 2},
            **{"cpu_user": 1000, "cpu_system": 2000, "cpu_idle": 3000, "cpu_iowait": 4000},
            **{f"domains_{state}": number for state, number in domains.items()},
            **{"vcpus_defined": 150 * 4, "vcpus_running": 149 * 4},
            **{"memory_defined_kib": 150 * memory, "memory_running_kib": 149 * memory},
        }
        (node,) = [line for line in lines if line["measurement"] == "libvirt_node"]
        assert [*node["tags"]] == ["libvirt_uri"] and node["tags"]["libvirt_uri"].startswith("qemu")
    # For the statistics of a host libvirt asks twice: how many there are, and for them.
    host_calls = {NODE_GET_INFO: 1, NODE_GET_CPU_STATS: 2, NODE_GET_MEMORY_STATS: 2}
    calls = {LIST_ALL_DOMAINS: 1, GET_ALL_DOMAIN_STATS: 2, **host_calls}
    assert eventually(lambda: ticked.tick() and ticked.asked == calls), ticked.asked


def test_the_sums_are_of_the_selected_domains(host: Hosts) -> None:
    """Domains that are not selected are in no sum; the groups for the sums are requested."""
    crowd = Crowd(5, off={guest(5)})
    chosen = f'domain_exclude = ["{guest(1)}"]\ndomain_state_include = ["running"]'
    node = one(host(crowd, chosen, "statistics_groups = []", also=("node",)).read(), "libvirt_node")
    assert {groups for groups, _ in crowd.requests} == {STATE | BALLOON | VCPU}
    assert node["domains_running"] == 3 and node["domains_shutoff"] == 0
    assert node["vcpus_defined"] == node["vcpus_running"] == 12


# Mistakes

MISTAKES = [
    (
        'domains = ["web-1", "x"]\ndomain_state_include = ["running"]',
        'domains: there is no domain "x"; virsh list --all --name shows the names',
    ),
    ('domain_include = ["wbe-*"]', 'no domain matches "wbe-*"; did you mean "web-'),
    ('domains = ["web-1"]\ndomain_state_include = ["paused"]', "domain_state_include: no"),
]
NO_MISTAKES = ['domain_include = ["web-*", "nosuch"]', 'domains = ["web-1"]', ""]


def test_mistakes_in_the_selection(start: Start, config: Config, with_domains: WithDomains) -> None:
    """Each mistake is one warning; --check says it too, and with --strict it is a failure. What is
    a mistake is tested in tests/domain."""
    uri = with_domains(*NAMES)
    cases = [*MISTAKES, *((options, None) for options in NO_MISTAKES)]
    tables = [table(n, uri, HEALTH, options) for n, (options, _) in enumerate(cases)]
    path = config(*tables)
    plugin = start("--config", path)
    for _ in range(2):
        tick_all(plugin, len(cases))
    assert plugin.finish() == 0
    report = run("--check", "--strict", "--config", path)
    assert report.returncode == 3, report.stdout
    for number, (options, expected) in enumerate(cases):
        start_of = f"W! inputs.libvirt[{number}] "
        warnings = [line for line in plugin.log.lines if line.startswith(start_of)]
        section = sections(report.stdout)[number]
        assert len(warnings) == ("  what helps: " in section) == (expected is not None), options
        if expected is not None:
            assert expected in warnings[0] and expected.partition("; ")[2] in section
    right = config(*tables[len(MISTAKES) :])
    assert run("--check", "--strict", "--config", right).returncode == 0


def test_two_tables_with_the_same_series(
    start: Start, config: Config, with_domains: WithDomains
) -> None:
    """Guests of the same names on two hosts, without a tag that differs, give one warning with the
    line to add, and the same in --check. More cases are in tests/program/test_twins.py."""
    uris = [with_domains("web", "db", file=f"{name}.xml") for name in ("one", "two")]
    helps = 'add to inputs.libvirt[1]: tags = { hypervisor = "test-1" }'
    path = config(*(f'libvirt_uri = "{uri}"' for uri in uris))
    plugin = start("--config", path)
    for count in (4, 8):
        plugin.tick()
        plugin.wait_for_states(count)
    assert plugin.finish() == 0
    (warning,) = (text for text in plugin.log.lines if text.startswith("W! "))
    assert warning.endswith(f"; {helps}")
    assert run("--check", "--config", path).stdout.count(f"what helps: {helps}") == 1
