"""Sweeps over domains of which some hang, without libvirt: a call is a function of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from telegraf_execd_libvirt.hypervisor.sweep import Sweep, Sweeper

from telegraf_execd_libvirt.domain import Domain, Stats

SECONDS = 0.3
"""What a sweep may take here; one that does not hang takes no time."""


class Host:
    """Domains that fill ``all`` and before it ``light``; some hang before the one or the other."""

    def __init__(self, names: str) -> None:
        self.domains = [Domain(name, True, {}) for name in names]
        self.hanging = self.hanging_light = ""
        self.sweeper = Sweeper()
        self._over = threading.Event()

    def ask(self, domain: Domain, keys: Stats, light: bool) -> None:
        if domain.name in self.hanging_light:
            self._over.wait()
        keys["light"] = 1
        if light:
            return
        if domain.name in self.hanging:
            self._over.wait()
        keys["all"] = 1

    def sweep(self, domains: list[Domain] | None = None) -> Sweep:
        return self.sweeper.sweep([(domains or self.domains, self.ask)], SECONDS)[0]

    def tick(self) -> Sweep:
        """A sweep, and further ones for the domains whose turn did not come."""
        sweep = self.sweep()
        found, missing = dict(sweep.found), sweep.missing
        while sweep.rest:
            names = {domain.name for domain in sweep.rest}
            sweep = self.sweep([*sweep.rest])
            found.update(sweep.found)
            missing = missing - names | sweep.missing
        return Sweep(found, missing)

    def end(self) -> None:
        """The calls that hang come back."""
        self._over.set()
        for call in calls():
            call.join()


def calls() -> list[threading.Thread]:
    """The sweeps under way."""
    return [thread for thread in threading.enumerate() if thread.name == "sweep"]


@pytest.fixture
def host() -> Iterator[Host]:
    """Ten domains."""
    host = Host("abcdefghij")
    yield host
    host.end()


def whole(sweep: Sweep) -> str:
    """The domains that came with all their keys."""
    return "".join(sorted(name for name, keys in sweep.found.items() if "all" in keys))


def in_part(sweep: Sweep) -> str:
    """The domains that came with a part of them."""
    return "".join(sorted(n for n, keys in sweep.found.items() if keys and "all" not in keys))


def test_no_domain_hangs(host: Host) -> None:
    """All are asked, and nothing is missing."""
    sweep = host.tick()
    assert whole(sweep) == "abcdefghij" and not sweep.missing and not sweep.rest


def test_some_hang(host: Host) -> None:
    """All others come whole in the same tick, and those that hang in part, in each tick."""
    host.hanging = "bcj"
    for _ in range(5):
        sweep = host.tick()
        assert whole(sweep) == "adefghi" and in_part(sweep) == "bcj"
        assert sweep.missing == {*"bcj"}


def test_all_hang(host: Host) -> None:
    """All come in part, by a bounded number of calls that hang."""
    host.hanging = "abcdefghij"
    for _ in range(5):
        sweep = host.tick()
        assert in_part(sweep) == "abcdefghij" and sweep.missing == {*"abcdefghij"}
    assert len(calls()) <= 4


def test_some_hang_whatever_they_are_asked(host: Host) -> None:
    """They are passed by in the end; the others still come in part."""
    host.hanging_light = "ce"
    for _ in range(5):
        sweep = host.tick()
        assert sorted(whole(sweep) + in_part(sweep)) == [*"abdfghij"]
        assert {*"ce"} <= sweep.missing
    assert len(calls()) <= 4


def test_all_hang_whatever_they_are_asked(host: Host) -> None:
    """Nothing comes, no further call is left hanging, and no time is lost."""
    host.hanging_light = "abcdefghij"
    for number in range(8):
        started = time.monotonic()
        sweep = host.tick()
        assert number < 6 or time.monotonic() - started < SECONDS
        assert not whole(sweep) and not in_part(sweep) and sweep.missing == {*"abcdefghij"}
    assert len(calls()) <= 6


def test_they_come_back(host: Host) -> None:
    """Once the calls have come back, all is as before."""
    host.hanging = "abcdefghij"
    host.tick()
    host.hanging = ""
    host.end()
    sweep = host.tick()
    assert whole(sweep) == "abcdefghij" and not sweep.missing


def test_a_domain_that_is_slow_does_not_hang(host: Host) -> None:
    """Where each domain takes its time, no further sweeps add to the load."""

    def ask(domain: Domain, keys: Stats, light: bool) -> None:
        time.sleep(SECONDS / 15)
        keys["all"] = 1

    [sweep] = host.sweeper.sweep([(host.domains * 3, ask)], SECONDS)
    assert sweep.left and sweep.found and not sweep.rest


def test_sweeps_side_by_side(host: Host) -> None:
    """Each share has a sweep, also while others hang."""
    host.hanging = "a"
    shares = [([domain], host.ask) for domain in host.domains]
    host.sweeper.sweep(shares, SECONDS)
    found = [sweep.found for sweep in host.sweeper.sweep(shares, SECONDS)]
    assert [[*keys] for one in found for keys in one.values()] == [
        ["light"],
        *[["light", "all"]] * 9,
    ]
