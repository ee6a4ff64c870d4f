"""Calls for one domain after the other.

Rule guarded: a domain on which a call hangs or fails costs itself only, and the number of sweeps
that hang is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

from ..domain import Value
from ..log import log
from . import binding
from .binding import Handle
from .calls import Call
from .errors import LibvirtError, Meaning

MOST_HANGING = 4

Keys = dict[str, Value]


class Sweep:
    """Asks about each domain in turn, passing by those on which an earlier sweep hangs."""

    def __init__(self, name: str, ask: Callable[[Handle], Keys]) -> None:
        self._name = name
        self._ask = ask
        self._hanging: list[_Run] = []
        self._unsupported = False

    def run(
        self, handles: Sequence[Handle], seconds: float
    ) -> tuple[dict[str, Keys], Optional[Call[None]]]:
        """What came of each domain within the time, by UUID, and the call if it hangs on."""
        self._hanging = [run for run in self._hanging if not run.call.done]
        if self._unsupported or len(self._hanging) >= MOST_HANGING:
            return {}, None
        stuck = {run.at for run in self._hanging}
        run = _Run([h for h in handles if binding.uuid(h) not in stuck], self._ask)
        if not run.call.wait(seconds):
            self._hanging.append(run)
            log.debug("%s: no answer for domain %s yet", self._name, run.at)
            return run.found.copy(), run.call
        run.call.result()
        if run.unsupported is not None and not run.found:
            self._unsupported = True
            log.info("%s: not supported here: %s", self._name, run.unsupported)
        return run.found, None


class _Run:
    """One pass over the domains in a call of its own."""

    def __init__(self, handles: Sequence[Handle], ask: Callable[[Handle], Keys]) -> None:
        self.found: dict[str, Keys] = {}
        self.at: Optional[str] = None
        self.unsupported: Optional[LibvirtError] = None
        self._handles = handles
        self._ask = ask
        self.call = Call(self._run, "sweep")

    def _run(self) -> None:
        for handle in self._handles:
            self.at = binding.uuid(handle)
            try:
                self.found[self.at] = self._ask(handle)
            except LibvirtError as error:
                log.debug("domain %s: %s", self.at, error.message)
                if error.meaning is Meaning.LOST:
                    break  # the next tick finds that out as well, and connects again
                if error.meaning is Meaning.UNSUPPORTED:
                    self.unsupported = error
        self._handles = ()
