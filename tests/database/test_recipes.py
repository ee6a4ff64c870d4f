"""Each query of docs/recipes.md gives the right answer, on a real database of its language."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.documents import recipes
from support.example_fleet import END, FLEET, STEP
from support.expected_panels import key
from support.fleet import Disk, Guest, State
from support.fleet_view import View, each, memory_percent, name_of
from support.grafana import LANGUAGES, Period, Source

NOW = View(FLEET, END, END - 120, STEP)
LATELY = View(FLEET, END, END - 300, STEP)
MOMENT = "'2026-01-01T00:00:00Z'"
"""END in InfluxQL."""

STATES = {3: "paused", 5: "shutoff", 6: "crashed", 7: "pmsuspended"}
REASONS = {
    **{(3, 1): "user", (3, 5): "ioerror", (5, 1): "shutdown", (5, 4): "migrated"},
    **{(6, 1): "panicked", (7, 1): None},  # libvirt has no such reason: it has no name
}


def stopped(language: str) -> dict[str, object]:
    """The states and reasons of the guests that do not run."""
    guests = [guest for guest in NOW.present if guest.state != State.RUNNING]
    if language == "promql":
        return dict(each(guests, lambda guest: 100 * guest.state + guest.reason))
    texts: dict[str, object] = {}
    for guest in guests:
        texts[f"{name_of(guest)} state"] = STATES[guest.state]
        texts[f"{name_of(guest)} reason"] = REASONS[guest.state, guest.reason]
    return {name: text for name, text in texts.items() if text}


def most(value: Callable[[Guest], float]) -> dict[str, float]:
    """The five guests with the largest values in the last five minutes."""
    values = each(LATELY.active, value)
    return dict(sorted(values.items(), key=lambda item: -item[1])[:5])


def above(limit: float, values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value > limit}


def latency(disk: Disk) -> float:
    """Milliseconds of a request."""
    return disk.spent / 1e6 / disk.requests if disk.requests else 0


NUMBERS: dict[str, dict[str, float]] = {
    "Which guests use the most CPU?": most(lambda guest: guest.user + guest.system),
    "Which guests wait for a CPU?": most(lambda guest: guest.steal * guest.vcpus),
    "Which guests are short of memory?": above(90, memory_percent(NOW.present)),
    "Which disks are slow?": {
        f"{name_of(guest)} {number}": latency(disk)
        for guest in LATELY.active
        for number, disk in enumerate(guest.disks)
        if latency(disk) > 20
    },
    "Which guests load the storage most?": most(
        lambda guest: sum(disk.bytes for disk in guest.disks)
    ),
    "Which interfaces lose packets?": above(0, LATELY.nics(lambda nic: nic.rx_drop + nic.tx_drop)),
    "How far are the hosts overcommitted?": {
        f"{host.name} {host.uri}": sum(g.vcpus for g in NOW.on(host) if g.active) / host.cpus
        for host in NOW.readable
    },
    "Which storage pools are nearly full?": {
        f"{host.name} {pool.name}": 100 * pool.allocation / pool.capacity
        for host in FLEET.hosts
        for pool in host.pools
        if pool.capacity and pool.allocation / pool.capacity > 0.9
    },
    "Which guests do not respond?": each(
        [*(g for g in NOW.present if not g.complete), *NOW.locked], lambda g: 0
    ),
    "Which guests should run and do not?": {"kvm1 off": 501},
    "Which guests need a restart?": {"kvm1 web-1": 1},
    "Whose address is this?": {"kvm1 web-1 vnet0 192.168.122.7": 1},
    "Which backups are old?": {"kvm1 web-1": END - 86_400, "kvm1 off": END - 40 * 86_400},
    "Which NUMA cells have no huge pages?": {"kvm1 qemu:///system 1 2048": 512},
    "Who is throttled?": {"kvm1 web-1": 2.4},
    "What does the process of a guest do?": {"kvm2 hung blocked": 5},
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("question", recipes())
def test_recipe(source: Source, language: str, question: str) -> None:
    """The answer is that of the fleet's description."""
    query = recipes()[question][language]
    if language == "influxql":
        series = source.select(query.replace("now()", MOMENT), Period(END, END))
        several = {each.column for each in series} == {"state", "reason"}
        found = {f"{key(s.labels)}{f' {s.column}' if several else ''}": s.last for s in series}
    else:
        vector = source.database.instant(query, END)
        found = {key(each["metric"]): float(each["value"][1]) for each in vector}
    if question == "Which guests do not run, and why?":
        assert found == stopped(language)
    else:
        assert found and found == pytest.approx(NUMBERS[question], rel=0.02)


def test_each_question_has_both_languages() -> None:
    """Each question has one query in each language, and a number here."""
    assert {*recipes()} == {*NUMBERS, "Which guests do not run, and why?"}
    assert all(
        [name for name in queries if name != "toml"] == [*LANGUAGES]
        for queries in recipes().values()
    )
