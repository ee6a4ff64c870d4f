"""What the log says: each change once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from telegraf_execd_libvirt.connection.errors import LibvirtError, Unreachable
from telegraf_execd_libvirt.hypervisor.journal import Journal
from telegraf_execd_libvirt.hypervisor.messages import Outcome, Plan

LEVELS = {logging.DEBUG: "D", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E"}

Say = Callable[[Journal], None]


def said(*steps: Say) -> list[list[str]]:
    """What the log of a hypervisor says at each step."""
    actions: deque[Any] = deque()
    journal = Journal(Plan("host", "qemu:///system", 5.0, "5s"), actions)
    journal.driver, journal.version = "QEMU", "9.0.0"
    found = []
    for step in steps:
        step(journal)
        found.append([f"{LEVELS[action.level]} {action.text}" for action in actions])
        actions.clear()
    return found


def ended(hanging: bool = False, names: Sequence[str] = (), unread: int = 0) -> Say:
    """The end of a tick that was read."""
    outcome = Outcome(incomplete=frozenset(names), unread=unread)
    return lambda journal: journal.ended(outcome, None, hanging or bool(names))


def failed(state: str) -> Say:
    """The end of a tick that was not read."""
    outcome = Outcome(trouble=Unreachable(state, f"{state} it is", "do something"))
    return lambda journal: journal.ended(outcome, None, False)


def locked(*names: str, blocked: bool = True, without_block: bool = False) -> Say:
    """Which domains are locked at the end of a tick."""
    return lambda journal: journal.locked(blocked, names, without_block)


CONNECTED = "I host: connected: driver QEMU, libvirt 9.0.0"


def test_a_hypervisor_that_comes_and_goes() -> None:
    """Each state is said once until the hypervisor is read again."""
    silent, lost = failed("silent"), failed("lost")
    cannot = [
        f"E host: cannot be read: {state} it is; do something" for state in ("silent", "lost")
    ]
    steps = [silent, silent, lost, silent, ended(), ended(), lost, ended()]
    assert said(*steps) == [
        [cannot[0]], [], [cannot[1]], [], [CONNECTED], [], [cannot[1]], [CONNECTED]
    ]  # fmt: skip


def test_a_users_own_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it has no guests of the system is said with the connection."""
    monkeypatch.setattr("os.geteuid", lambda: 990)
    actions: deque[Any] = deque()
    Journal(Plan("host", "qemu:///session", 5.0, "5s"), actions).up()
    assert "own daemon, with no guests of the system" in actions[0].text


def test_guests_that_do_not_respond() -> None:
    """They are named when they change, and the end is said; a call that hangs for no guest too."""
    many = [f"guest{number:02}" for number in range(12)]
    steps = [ended(names="b"), ended(names="ba"), ended(names="ab"), ended(), ended(names=many)]
    assert said(ended(), *steps)[1:] == [
        ["W host: guests not responding: b"],
        ["W host: guests not responding: a, b"],
        [],
        ["I host: all guests respond again"],
        [f"W host: guests not responding: {', '.join(many[:10])} and 2 more"],
    ]
    assert said(ended(), ended(hanging=True), ended(hanging=True), ended())[1:] == [
        ["W host: a libvirt call is hung; using another connection"],
        [],
        ["I host: all guests respond again"],
    ]


def test_domains_that_are_not_read() -> None:
    """They are counted when there are some, and again after a tick without."""
    error = LibvirtError(1, 10, "no")
    found = said(
        ended(unread=3),
        ended(unread=4),
        ended(),
        lambda journal: journal.ended(Outcome(unread=1), error, False),
    )
    assert found[0][-1] == "W host: 3 domains not read: no answer within 5s"
    assert found[1:3] == [[], []] and found[3] == ["W host: 1 domains not read: no"]


def test_locked_guests() -> None:
    """They are named when they change, and the end is said."""
    text = "libvirt has locked them, so no other domains can be found"
    steps = [locked("b"), locked("b"), locked("b", "a"), locked(blocked=False), locked()]
    found = said(*steps, locked(blocked=False))
    assert found[:4] == [
        [f"W host: guests locked: b; {text}"],
        [],
        [f"W host: guests locked: a, b; {text}"],
        ["I host: no guest is locked any more"],
    ]
    assert "locked a domain that is not known or not selected" in found[4][0]
    assert found[5] == ["I host: no guest is locked any more"]


def test_requests_without_block() -> None:
    """That hanging storage costs the group block, and its return, are said once."""
    without = locked("a", "b", without_block=True)
    found = said(locked("a", "b"), without, without, locked("a"), locked("a"))
    assert found[1] == ["W host: storage hangs for several guests: reading without the group block"]
    assert found[2] == [] and found[3][-1] == "I host: reading the group block again"
    assert found[4] == []


def test_what_is_said_once_in_a_run() -> None:
    """Ticks that come too soon, a defect, and a timeout that is too short: one late answer says
    nothing about it, several in a row do."""
    steps = [Journal.slow, lambda j: j.defect("a defect"), lambda j: j.late([8.0, 9.0, 7.0])]
    found = said(lambda j: j.late([9.0, 9.0]), *steps, *steps)
    assert [len(step) for step in found] == [0, 1, 1, 1, 0, 0, 0]
    assert "a call took 9.0 s, longer than the timeout" in found[3][0]
