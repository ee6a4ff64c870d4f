"""A guest that hangs, or that another client uses, delays and costs nobody else.

The policy is tested in tests/simulation; here once with a daemon, by the order of the lines.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from support.crowd import Crowd, guest
from support.host import Host, Hosts
from support.plugin import eventually, states
from support.server import GET_CONTROL_INFO

GUESTS = 300


def fields(lines: list[str]) -> Counter[str]:
    """The number of fields of each guest, without those about its health."""
    found: Counter[str] = Counter()
    for line in lines:
        name = re.search(r"domain_name=([^ ,]+)", line)
        if name and not line.startswith("libvirt_domain_health"):
            found[name[1]] += line.count("=") - line.count(",")
    return found


def until_whole(host: Host, whole: Counter[str]) -> None:
    """Tick until all guests are complete again."""
    host.daemon.answer()
    assert eventually(lambda: fields(host.tick()) == whole)
    assert eventually(lambda: host.tick() and host.health["calls_hanging"] == 0)
    assert host.health["domains_incomplete"] == 0


@pytest.mark.parametrize("options", [(), ("parallel_calls = 3",)])
def test_hung_guests_delay_nobody_else(host: Hosts, options: tuple[str, ...]) -> None:
    """All others are written while a guest hangs, also in the first tick; it comes at the timeout,
    without the fields that need its monitor."""
    hung = guest(150)
    ticked = host(Crowd(GUESTS, step=1), 'timeout = "6s"', *options)
    whole = fields(ticked.tick())
    assert len(whole) == GUESTS
    ticked.crowd.stopped |= {hung}
    ticked.begin()
    others = whole.keys() - {hung}
    ticked.plugin.metrics.wait_for(lambda lines: fields(states(lines)).keys() >= others, "others")
    assert hung not in fields(ticked.plugin.metrics.lines)
    assert hung in fields(ticked.end())
    for _ in range(3):
        lines = ticked.tick()
        found = fields(lines)
        assert max(Counter(line.partition(" ")[0] for line in lines).values()) == 1
        assert {name for name in whole if found[name] != whole[name]} == {hung}
        assert 0 < found[hung] < whole[hung]
        assert ticked.health["up"] == 1 and ticked.health["domains"] == GUESTS
        assert ticked.health["domains_incomplete"] == 1 <= ticked.health["calls_hanging"]
    assert len(ticked.plugin.wait_for_message(f"guests not responding: {hung}")) == 1
    until_whole(ticked, whole)
    assert len(ticked.plugin.wait_for_message("guests not responding")) == 1
    assert "timeout" not in ticked.plugin.log.text


def test_why_a_guest_hangs(host: Hosts) -> None:
    """From the second tick on, a guest that hangs has the state of its control interface. Nobody
    else is asked for it. If that call hangs as well, it hangs once, and delays no line of others
    and, after one tick, no tick."""
    ticked = host(Crowd(5, step=1), 'timeout = "4s"')
    whole = fields(ticked.tick())
    hung = guest(2)
    health = f"libvirt_domain_health,domain_name={hung} complete=0i"
    ticked.crowd.stopped.add(hung)
    lines = ticked.tick()
    assert GET_CONTROL_INFO not in ticked.asked
    assert [line.rpartition(" ")[0] for line in lines if "complete=0i" in line] == [health]
    control = f"{health},control_state=2i,control_details=0i,control_time_ms=1234i "
    assert any(line.startswith(control) for line in ticked.tick())
    assert ticked.asked[GET_CONTROL_INFO] == 1
    ticked.daemon.unanswered.add(GET_CONTROL_INFO)
    for number in range(4):
        ticked.begin()
        ticked.plugin.metrics.wait_for(lambda lines: len(states(lines)) >= 4, "all others")
        assert fields(ticked.end()).keys() == whole.keys()
        assert ticked.asked[GET_CONTROL_INFO] == (number == 0)
    assert ticked.health["calls_hanging"] >= 2 and ticked.health["domains_incomplete"] == 1
    until_whole(ticked, whole)


def test_all_guests_hang(host: Hosts) -> None:
    """If every guest hangs, each one comes with the fields that need no monitor, at each tick, and
    the number of calls that hang is bounded."""
    ticked = host(Crowd(120, step=1), 'timeout = "6s"')
    whole = fields(ticked.tick())
    ticked.crowd.stopped |= whole.keys()
    for _ in range(3):
        found = fields(ticked.tick())
        assert found.keys() == whole.keys() and all(found[name] < whole[name] for name in whole)
        assert ticked.health["domains_incomplete"] == 120
        assert 4 <= ticked.health["calls_hanging"] <= 8
    until_whole(ticked, whole)


def test_busy_guests(host: Hosts) -> None:
    """A guest that another client uses for a moment, or that answers late, comes whole in the same
    tick; one that stays busy is incomplete, counted and named once. One that is shut down or loses
    its disks is not."""
    ticked = host(Crowd(20, step=1), 'timeout = "60s"')
    whole = fields(ticked.tick())
    ticked.crowd.stopped |= {guest(3)}
    ticked.begin()
    others = whole.keys() - {guest(3)}
    ticked.plugin.metrics.wait_for(lambda lines: fields(states(lines)).keys() >= others, "others")
    ticked.daemon.answer()
    assert fields(ticked.end()) == whole and ticked.health["domains_incomplete"] == 0
    ticked.crowd.busy = {guest(3): 1, guest(5): 2, guest(7): 1}
    assert fields(ticked.tick()) == whole and ticked.health["domains_incomplete"] == 0
    assert "not respond" not in ticked.plugin.log.text
    ticked.crowd.busy = {guest(3): 1000}
    ticked.crowd.off.add(guest(2))
    ticked.crowd.special[guest(4)] = tuple(
        parameter for parameter in ticked.crowd.parameters if not parameter.key.startswith("block.")
    )
    for _ in range(2):
        ticked.tick()
        assert ticked.health["domains_incomplete"] == 1 and ticked.health["domains"] == 20
    assert len(ticked.plugin.wait_for_message(f"guests not responding: {guest(3)}")) == 1
    ticked.crowd.busy.clear()
    ticked.tick()
    assert ticked.health["domains_incomplete"] == 0
    ticked.plugin.wait_for_message("all guests respond again")
    assert len(ticked.plugin.wait_for_message("guests not responding")) == 1


def test_a_daemon_that_was_stopped_is_no_short_timeout(host: Hosts) -> None:
    """After a stop of the whole daemon nobody is told that the timeout is too short."""
    ticked = host(Crowd(20), 'timeout = "500ms"', "parallel_calls = 3")
    ticked.tick()
    ticked.daemon.silent = True
    assert [len(states(ticked.tick())) for _ in range(6)] == [0] * 6
    ticked.daemon.answer()
    assert eventually(lambda: len(states(ticked.tick())) == 20)
    assert len(ticked.plugin.wait_for_message("cannot be read")) == 1
    assert "too short" not in ticked.plugin.log.text


def test_what_a_driver_cannot_give_is_not_missing(host: Hosts) -> None:
    """A guest that never has the keys of the monitor in the wanted groups is complete, and asked
    once more only; another guest is still found incomplete."""
    crowd = Crowd(3)
    lacks = r"block\.\d+\.(?!name)"
    crowd.special[guest(2)] = tuple(p for p in crowd.parameters if not re.match(lacks, p.key))
    ticked = host(crowd, 'statistics_groups = ["state", "block"]', 'timeout = "60s"')
    assert [ticked.tick() and ticked.health["domains_incomplete"] for _ in range(3)] == [0, 0, 0]

    def requests() -> int:
        before = len(crowd.requests)
        ticked.tick()
        return len(crowd.requests) - before

    assert eventually(lambda: requests() == 1)
    assert not ticked.troubles
    crowd.busy = {guest(3): 1000}
    ticked.tick()
    assert ticked.health["domains_incomplete"] == 1
    ticked.plugin.wait_for_message(f"guests not responding: {guest(3)}")
