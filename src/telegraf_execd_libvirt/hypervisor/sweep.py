"""Calls for one domain after the other.

Rule guarded: a domain on which a call hangs costs itself only, and the number of sweeps that hang
is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

from ..domain import Value
from ..log import log
from . import binding
from .binding import Handle
from .calls import Call

MOST_HANGING = 4

#: After so many calls that hang on it, a domain is not asked any more until one has ended.
_TIMES_ASKED = 2

Keys = dict[str, Value]

#: Fills the keys of a domain, all of them or only those that hang least.
Ask = Callable[[Handle, Keys, bool], None]


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep: keys by UUID, the domains that were not or not wholly asked, and the
    call where it hangs."""

    found: dict[str, Keys]
    missing: frozenset[str]
    left: Optional[Call[None]] = None


class Sweeper:
    """Asks about each domain in turn: about one on which an earlier sweep hangs only what hangs
    least, and passing by one on which two do."""

    def __init__(self) -> None:
        self._hanging: list[_Run] = []

    def sweep(self, handles: Sequence[Handle], ask: Ask, seconds: float) -> Sweep:
        """Asks about these domains, within this time. Raises LibvirtError only where the
        connection is dead."""
        self._hanging = [run for run in self._hanging if not run.call.done]
        everything = frozenset(binding.uuid(handle) for handle in handles)
        if len(self._hanging) >= MOST_HANGING:
            return Sweep({}, everything)
        stuck = [run.at for run in self._hanging]
        run = _Run(handles, ask, stuck)
        if run.call.wait(seconds):
            run.call.result()
            return Sweep(run.found, everything.intersection(stuck))
        self._hanging.append(run)
        log.debug("no answer for domain %s yet", run.at)
        # The sweep may still go on: what it has so far is copied, as it is at this moment.
        found = {uuid: dict(keys) for uuid, keys in list(run.found.items())}
        return Sweep(found, everything - (found.keys() - {run.at, *stuck}), run.call)


class _Run:
    """One pass over the domains in a call of its own."""

    def __init__(self, handles: Sequence[Handle], ask: Ask, stuck: Sequence[str]) -> None:
        self.found: dict[str, Keys] = {}
        self.at = ""
        self._handles = handles
        self._ask = ask
        self._stuck = stuck
        self.call = Call(self._run, "sweep")

    def _run(self) -> None:
        try:
            for handle in self._handles:
                self.at = binding.uuid(handle)
                times = self._stuck.count(self.at)
                if times < _TIMES_ASKED:
                    keys = self.found[self.at] = {}
                    self._ask(handle, keys, times > 0)
        finally:
            # Whoever keeps this run must not keep the connection by it.
            self._handles = ()
            del self._ask
