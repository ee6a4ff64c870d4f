"""What one seed makes: a host, a configuration, usual latencies, and a schedule of faults.

Invariant: a scenario is data, and everything else in a run follows from it. Without one of its
faults or guests it is another scenario that can run, so that a failing one can be shrunk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple

#: Faults of one guest. The others must not notice more than the promises allow.
OF_GUESTS = ("hang", "late", "moment", "lock", "storage", "busy")
OF_LIVES = ("appear", "vanish", "start", "stop", "xml", "dies")
#: Faults of connections, of the daemon or of the plugin's own environment.
OF_ALL = (
    *("error", "rpc", "defect", "slow", "freeze", "removing", "pause"),
    *("lose", "restart", "mute", "refuse", "silent", "full"),
)

#: Ticks before the first fault; the engine learns what is usual.
CALM_TICKS = 5

#: The kinds of error that calls and attempts fail with, by names of ErrorKind.
CALL_ERRORS = (
    *("LOST", "DENIED", "WRONG_URI", "UNSUPPORTED", "GONE", "BUSY", "TOO_LARGE", "FAILED"),
)
ATTEMPT_ERRORS = ("LOST", "DENIED", "WRONG_URI", "FAILED")


class Fault(NamedTuple):
    """A fault that lasts this long from this time on, in seconds since the first tick. ``guest`` is
    a number, ``word`` and ``rate`` say more, see :mod:`.faults`."""

    at: float
    kind: str
    seconds: float
    guest: int = 0
    word: str = ""
    rate: float = 1.0

    @property
    def never_ends(self) -> bool:
        """Whether attempts that have begun meanwhile never end."""
        return self.kind == "silent" and self.rate < 1

    def neighbours(self, guests: int) -> Sequence[int]:
        """The guests that it concerns: some kinds of storage are shared."""
        if self.kind == "storage" and self.rate < 1:
            return range(self.guest % 7, guests, 7)
        return (self.guest,)


class Fetching(NamedTuple):
    """A source: with ``of_domains`` it asks each domain, otherwise only the host."""

    interval: float
    timeout: float
    lanes: int
    read_only: bool
    of_domains: bool


@dataclass(frozen=True)
class Scenario:
    """One run. Times are seconds: ``trip`` is a round trip to the daemon, ``each`` the work for the
    statistics of one guest, ``login`` the time to connect. ``tags``: the XML is read; ``own``:
    statistics need calls for one domain; ``intervals`` are those of groups, ``spread`` over ticks;
    ticks come late by up to this part of the interval if they are ``irregular``.
    ``ticks`` is the number of those until the last fault."""

    seed: int
    guests: int
    running: float
    interval: float
    timeout: float
    calls: int
    by_name: bool
    host: bool
    tags: bool
    own: bool
    remote: bool
    old_libvirt: bool
    trip: float
    each: float
    login: float
    sources: Sequence[Fetching]
    ticks: int
    calm: int
    faults: Sequence[Fault]
    intervals: Mapping[str, float] = field(default_factory=dict)
    spread: bool = True
    irregular: float = 0.0

    @property
    def quiet(self) -> float:
        """The seconds from the first tick until all faults are over."""
        return self.ticks * self.interval

    @property
    def victims(self) -> frozenset[str]:
        """The guests that a fault of a guest touches."""
        return frozenset(
            f"g{number}"
            for fault in self.faults
            if fault.kind in (*OF_GUESTS, *OF_LIVES)
            for number in fault.neighbours(self.guests)
        )

    @property
    def is_quick(self) -> bool:
        """Whether all domains can be looked up one by one, and a connection opened, within a small
        part of a tick, and there is time to learn what is usual."""
        return self.is_fast and self.calm > 0 and not self.irregular

    @property
    def is_fast(self) -> bool:
        """The same without the time to learn what is usual."""
        return max(self.guests * self.trip, self.login) <= 0.1 * min(self.interval, self.timeout)

    @property
    def is_gentle(self) -> bool:
        """Whether the promises hold: only faults of guests. A guest that answers each time in the
        moment in which it is given up is slow, and the engine learns that this is usual."""
        of_guests = [kind for kind in (*OF_GUESTS, *OF_LIVES) if kind != "moment"]
        return self.is_quick and self.only(*of_guests)

    def only(self, *kinds: str) -> bool:
        """Whether all faults are of these kinds."""
        return all(fault.kind in kinds for fault in self.faults)


def draw(seed: int) -> Scenario:
    """The scenario of a seed. Half of those with a domain that is not selected lock it as well."""
    random = Random(seed)
    interval = random.choice((1.0, 1.0, 1.0, 2.0, 5.0, 10.0, 10.0, 30.0, 60.0))
    timeout = random.choice((1.0, 2.0, 5.0, 5.0, 5.0, 10.0, 30.0))
    remote = random.random() < 0.3
    guests = round(math.exp(random.uniform(0, math.log(300))))
    calm = 0 if random.random() < 0.1 else CALM_TICKS
    ticks = calm + random.randint(3, 12)
    scenario = Scenario(
        seed=seed,
        guests=guests,
        running=random.choice((1.0, 1.0, 0.8, 0.3)),
        interval=interval,
        timeout=timeout,
        calls=random.choice((1, 1, 1, 2, 4, 8)),
        by_name=random.random() < 0.3,
        host=random.random() < 0.3,
        tags=random.random() < 0.4,
        own=random.random() < 0.3,
        remote=remote,
        old_libvirt=random.random() < 0.5,
        trip=random.uniform(0.005, 0.03) if remote else random.uniform(0.0001, 0.0005),
        each=min(math.exp(random.uniform(-9, -5.5)), 0.05 * min(interval, timeout) / guests),
        login=random.uniform(0.2, 0.8) if remote else random.uniform(0.002, 0.02),
        sources=[
            _fetching(random, interval, timeout) for _ in range(random.choice((0, 0, 1, 2, 4)))
        ],
        ticks=ticks,
        calm=calm,
        faults=sorted(_faults(random, calm, ticks, interval, timeout, guests)),
        intervals=_intervals(random, interval),
        spread=random.random() < 0.7,
    )
    if scenario.by_name and random.random() < 0.5:
        locks = [f._replace(guest=guests) for f in scenario.faults if f.kind == "lock"]
        scenario = replace(scenario, faults=sorted([*scenario.faults, *locks[:1]]))
    if random.random() < 0.1:
        scenario = replace(scenario, irregular=random.choice((0.1, 0.5, 0.95)))
    return scenario


def _intervals(random: Random, interval: float) -> dict[str, float]:
    """The intervals of the groups of the simulated daemon: those in which state and memory, then
    disks are asked."""
    if random.random() < 0.6:
        return {}
    first = random.choice((0.0, 0.0, 0.5 * interval, interval, 2 * interval))
    return {"state": 0.0, "balloon": first, "block": interval * random.choice((2, 2.5, 3, 6, 10))}


def _fetching(random: Random, interval: float, timeout: float) -> Fetching:
    return Fetching(
        interval=random.choice((0.0, 0.0, 3 * interval, 10 * interval)),
        timeout=random.choice((timeout, 1.0, 5.0)),
        lanes=random.choice((1, 1, 1, 2, 4)),
        read_only=random.random() < 0.75,
        of_domains=random.random() < 0.75,
    )


def _faults(
    random: Random, calm: int, ticks: int, interval: float, timeout: float, guests: int
) -> list[Fault]:
    kinds = [*OF_GUESTS, *OF_LIVES, *OF_ALL]
    swarm = random.random()
    if swarm < 0.05:
        return []
    if swarm < 0.35:
        kinds = random.sample(kinds, 1)
    elif swarm < 0.6:
        kinds = random.sample([*OF_GUESTS, *OF_LIVES], random.randint(1, 4))
    else:
        kinds = random.sample(kinds, random.randint(2, 8))
    victims = [random.randrange(guests) for _ in range(random.choice((1, 1, 2, 3, 6)))]
    faults: list[Fault] = []
    for _ in range(round(math.exp(random.uniform(0, math.log(15))))):
        kind = random.choice(kinds)
        if kind == "dies" and any(fault.kind == kind for fault in faults):
            continue  # a batch is asked again once
        tick = random.randint(calm, ticks - 1)
        offset = random.choice((0.0, random.uniform(0, 0.02), random.uniform(0, interval)))
        at = tick * interval + (offset if calm or tick else -0.5)
        seconds = random.choice((0.05, 0.3, timeout / 3, timeout, 3 * timeout, 3 * interval))
        seconds *= random.uniform(0.5, 1.5)
        if random.random() < 0.2:  # it ends while a tick is collected
            last = math.ceil((at + seconds) / interval) * interval
            seconds = last + random.choice((0.02, 0.5)) * random.random() - at
        seconds = min(seconds, ticks * interval - at - 0.001)
        rate = random.choice((1.0, 1.0, 0.5, 0.1))
        errors = ATTEMPT_ERRORS if kind == "refuse" else CALL_ERRORS
        word = random.choice(errors)
        faults.append(Fault(at, kind, seconds, random.choice(victims), word, rate))
    return faults
