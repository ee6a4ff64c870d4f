"""Calls for one domain after the other.

Rule guarded: a domain on which a call hangs costs itself only, and the number of sweeps that hang
is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..domain import Domain, Stats
from ..log import log
from .calls import Call
from .errors import LibvirtError

#: So many sweeps may hang before all domains are asked only what hangs least, and so many before
#: none is asked any more. Sweeps side by side may all hang at once, and so be some more.
MOST_HANGING = 4
_MOST_HANGING_LIGHT = 6

#: After so many calls that hang on it, a domain is not asked any more until one has ended.
_TIMES_ASKED = 2

#: A sweep that is still at a domain after this hangs there; before, it is merely slow.
_HANGS_SECONDS = 0.1

#: While one hangs, a further sweep may take four times as long as usual, and at least this.
_GRACE_SECONDS = 0.5

#: Fills the keys of a domain, all of them or only those that hang least.
Ask = Callable[[Domain, Stats, bool], None]


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep: keys by the domain's name, the domains that were not or not wholly
    asked; the call where it hangs, or the error where the connection died.

    ``rest`` are the domains whose turn did not come because of one on which a call hangs;
    ``asked`` is the monotonic time at which they were asked for after all.
    """

    found: dict[str, Stats] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    rest: Sequence[Domain] = ()
    left: Optional[Call[None]] = None
    error: Optional[LibvirtError] = None
    asked: float = 0.0


class Sweeper:
    """Asks about each domain in turn: about one on which an earlier sweep hangs only what hangs
    least, and passing by one on which two do; about all only that where many hang."""

    def __init__(self) -> None:
        self._hanging: list[_Run] = []
        self._usual_seconds = 0.0

    @property
    def grace(self) -> float:
        """How many seconds a further sweep may take while one hangs."""
        return max(_GRACE_SECONDS, 4 * self._usual_seconds)

    def sweep(self, shares: Sequence[tuple[Sequence[Domain], Ask]], seconds: float) -> list[Sweep]:
        """Asks about the domains of each share, the shares side by side, within this time."""
        self._hanging = [run for run in self._hanging if not run.call.done]
        deadline = time.monotonic() + seconds
        stuck = [run.at for run in self._hanging]
        if len(stuck) >= _MOST_HANGING_LIGHT:
            return [
                Sweep(missing=frozenset(domain.name for domain in domains)) for domains, _ in shares
            ]
        light = len(stuck) >= MOST_HANGING
        runs = [_Run(domains, ask, stuck, light) for domains, ask in shares]
        sweeps = [self._end(run, deadline - time.monotonic()) for run in runs]
        if runs and not self._hanging:
            self._usual_seconds = max(run.call.seconds for run in runs)
        return sweeps

    def _end(self, run: _Run, seconds: float) -> Sweep:
        if run.call.wait(seconds):
            try:
                run.call.result()
            except LibvirtError as error:
                return Sweep(error=error)
            return Sweep(run.found, run.in_part)
        self._hanging.append(run)
        log.debug("no answer for domain %s yet", run.at)
        rest = run.rest if time.monotonic() - run.since > _HANGS_SECONDS else ()
        # The sweep may still go on: what it has so far is copied, as it is at this moment.
        found = {name: dict(keys) for name, keys in list(run.found.items())}
        whole = found.keys() - {run.at, *run.in_part}
        return Sweep(found, run.names - whole, rest, run.call)


class _Run:
    """One pass over the domains in a call of its own."""

    def __init__(
        self, domains: Sequence[Domain], ask: Ask, stuck: Sequence[str], light: bool
    ) -> None:
        self.found: dict[str, Stats] = {}
        self.names = frozenset(domain.name for domain in domains)
        #: The domains that are not asked all.
        self.in_part = self.names if light else self.names.intersection(stuck)
        self.at = ""
        self.since = time.monotonic()
        self._begun = 0
        self._stuck = stuck
        self._domains = domains
        self._ask = ask
        self.call = Call(self._run, "sweep")

    @property
    def rest(self) -> Sequence[Domain]:
        """The domains whose turn has not come."""
        domains, begun = self._domains, self._begun
        return domains[begun:]

    def _run(self) -> None:
        try:
            for number, domain in enumerate(self._domains, 1):
                self.since, self._begun, self.at = time.monotonic(), number, domain.name
                times = self._stuck.count(self.at)
                if times < _TIMES_ASKED:
                    keys = self.found[self.at] = {}
                    self._ask(domain, keys, self.at in self.in_part)
        finally:
            # Whoever keeps this run must not keep the connection by it.
            self._domains = ()
            del self._ask
