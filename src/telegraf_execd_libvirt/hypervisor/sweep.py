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

Keys = dict[str, Value]
Ask = Callable[[Handle, Keys], None]


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep: keys by UUID, the domains that were not or not wholly asked, and the
    call where it hangs."""

    found: dict[str, Keys]
    missing: frozenset[str]
    left: Optional[Call[None]] = None


class Sweeper:
    """Asks about each domain in turn, passing by those on which an earlier sweep hangs."""

    def __init__(self) -> None:
        self._hanging: list[_Run] = []

    def sweep(self, handles: Sequence[Handle], ask: Ask, seconds: float) -> Sweep:
        """Asks about these domains, within this time. Raises LibvirtError only where the
        connection is dead."""
        self._hanging = [run for run in self._hanging if not run.call.done]
        everything = frozenset(binding.uuid(handle) for handle in handles)
        if len(self._hanging) >= MOST_HANGING:
            return Sweep({}, everything)
        stuck = {run.at for run in self._hanging}
        run = _Run([handle for handle in handles if binding.uuid(handle) not in stuck], ask)
        if run.call.wait(seconds):
            run.call.result()
            return Sweep(run.found, everything & stuck)
        self._hanging.append(run)
        log.debug("no answer for domain %s yet", run.at)
        # The sweep may still go on: what it has so far is copied, as it is at this moment.
        found = {uuid: dict(keys) for uuid, keys in list(run.found.items())}
        return Sweep(found, everything - (found.keys() - {run.at}), run.call)


class _Run:
    """One pass over the domains in a call of its own."""

    def __init__(self, handles: Sequence[Handle], ask: Ask) -> None:
        self.found: dict[str, Keys] = {}
        self.at = ""
        self._handles = handles
        self._ask = ask
        self.call = Call(self._run, "sweep")

    def _run(self) -> None:
        try:
            for handle in self._handles:
                self.at = binding.uuid(handle)
                keys = self.found[self.at] = {}
                self._ask(handle, keys)
        finally:
            # Whoever keeps this run must not keep the connection by it.
            self._handles = ()
            del self._ask
