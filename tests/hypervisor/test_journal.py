"""What the log says: each change once, and the same problem once in ten minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Union

import pytest

from simulation.driver import Run
from simulation.scenario import draw
from telegraf_execd_libvirt.connection.errors import LibvirtError, Unreachable
from telegraf_execd_libvirt.hypervisor.journal import Journal
from telegraf_execd_libvirt.hypervisor.messages import Outcome, Plan, Say
from telegraf_execd_libvirt.hypervisor.voice import MOST_PROBLEMS, SAME_SECONDS

LEVELS = {logging.DEBUG: "D", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E"}

Step = Callable[[Journal], None]


def said(*steps: Union[Step, float]) -> list[list[str]]:
    """What the log of a hypervisor says at each step; a number is a pause in seconds."""
    journal = Journal(Plan("host", "qemu:///system", 5.0, "5s"))
    voice, actions = journal.voice, journal.actions
    journal.driver, journal.version = "QEMU", "9.0.0"
    found = []
    for step in steps:
        if isinstance(step, float):
            voice.now += step
        else:
            step(journal)
        voice.tick()
        found.append([f"{LEVELS[action.level]} {action.text}" for action in actions])
        actions.clear()
    return found


def ended(hanging: bool = False, names: Sequence[str] = (), unread: int = 0) -> Step:
    """The end of a tick that was read."""
    outcome = Outcome(incomplete=frozenset(names), unread=unread)
    return lambda journal: journal.ended(outcome, None, hanging or bool(names))


def failed(state: str) -> Step:
    """The end of a tick that was not read."""
    outcome = Outcome(trouble=Unreachable(state, f"{state} it is", "do something"))
    return lambda journal: journal.ended(outcome, None, False)


def locked(*names: str, blocked: bool = True, without_block: bool = False) -> Step:
    """Which domains are locked at the end of a tick."""
    return lambda journal: journal.locked(blocked, names, without_block)


CONNECTED = "I host: connected: driver QEMU, libvirt 9.0.0"


def test_a_hypervisor_that_comes_and_goes() -> None:
    """Each reason is said, and that it is read again. Reasons that take turns are said once each;
    an outage that has ended, three times."""
    silent, lost, up = failed("silent"), failed("lost"), ended()
    first, second = (
        [f"E host: cannot be read: {state} it is; do something"] for state in ("silent", "lost")
    )
    found = said(silent, silent, lost, up, up, SAME_SECONDS, lost, up)
    assert found == [first, [], second, [CONNECTED], [], [], second, [CONNECTED]]
    assert said(silent, lost, silent, lost) == [first, second, [], []]
    assert said(*4 * [silent, up]) == [*3 * [first, [CONNECTED]], [], []]


def test_a_users_own_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it has no guests of the system is said with the connection."""
    monkeypatch.setattr("os.geteuid", lambda: 990)
    journal = Journal(Plan("host", "qemu:///session", 5.0, "5s"))
    journal.up()
    (action,) = journal.actions
    assert isinstance(action, Say) and "no guests of the system" in action.text


def test_the_same_problem_again_and_again() -> None:
    """It is said at most three times in ten minutes, then with a count; its end only if it was
    said."""
    bad, good = ended(names="a"), ended()
    text = "W host: guests not responding: a"
    end = "I host: all guests respond again"
    found = said(good, *4 * [bad, good], bad, SAME_SECONDS, good, bad)[1:]
    assert found[:9] == [*3 * [[text], [end]], [], [], []]
    assert found[9:] == [[f"{text}; 2 times in 10 minutes"], [end], [text]]


def test_too_many_problems() -> None:
    """Of one subject a bounded number is said; the last one is when the others are old."""
    steps = [ended(names=[f"guest{number}"]) for number in range(3 * MOST_PROBLEMS)]
    found = [text for step in said(ended(), *steps, SAME_SECONDS)[1:] for text in step]
    assert len(found) == MOST_PROBLEMS + 1 and found[-1].endswith("guest29")


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
    """They are counted when there are some, and again after a tick without. If a connection attempt
    hangs as well, the daemon may have no free place."""
    error = LibvirtError(1, 10, "no")
    found = said(
        ended(unread=3),
        ended(unread=4),
        ended(),
        lambda journal: journal.ended(Outcome(unread=1), error, False, True),
        ended(),
        lambda journal: journal.ended(Outcome(unread=1), None, False, True),
    )
    assert found[0][-1] == "W host: 3 domains not read: no answer within 5s"
    assert found[1:3] == [[], []] and found[3] == ["W host: 1 domains not read: no"]
    assert "within 5s, nor to an attempt to connect beside it; has the d" in found[5][0]


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
    """Ticks that come too soon, a defect, a timeout that is too short, and a reader of stdout that
    pauses. One late answer says nothing about the timeout, several in a row do."""
    steps = [
        lambda j: j.slow(1.5),
        lambda j: j.defect("a defect"),
        lambda j: j.late([8.0, 9.0, 7.0]),
        lambda j: j.paused(1.5),
    ]
    found = said(lambda j: j.late([9.0, 9.0]), lambda j: j.paused(0.5), *steps, *steps)
    assert [len(step) for step in found] == [0, 0, *[1] * 4, *[0] * 4]
    found = found[1:]
    assert "stdout was not read for 1.5 s" in found[4][0]
    assert "a call took 9.0 s, longer than the timeout" in found[3][0]
    assert "one batch takes 1.5 s; raise parallel_calls (now 1)" in found[1][0]


def test_answers_that_come_after_their_ticks() -> None:
    """A daemon that answers late again and again has a timeout that is too short; one whose answers
    take no longer than the timeout has not."""
    host = {"guests": 20, "running": 1.0, "each": 0.2, "timeout": 1.0, "interval": 5.0, "ticks": 12}
    simple = dict.fromkeys(("calm", "by_name", "host", "tags", "own", "remote"), False)
    log: list[str] = []
    scenario = replace(draw(0), **host, **simple, calls=1, sources=[], faults=[])  # type: ignore[arg-type]
    Run(scenario, (), log).go()
    assert sum("the timeout is too short" in line for line in log) == 1
    assert said(lambda j: j.late([0.0, 0.0, 4.9, 9.0])) == [[]]


def test_a_hypervisor_without_domains() -> None:
    """It says so once, not if all are left out."""
    empty = Outcome(existing=0)
    (first, again) = said(*2 * [lambda j: j.ended(empty, None, False)])
    assert first[1:] == ["W host: the hypervisor has no domains"] and not again
    assert len(said(lambda j: j.ended(Outcome(existing=3), None, False))[0]) == 1
