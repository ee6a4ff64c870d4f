"""The state of a source, as the log and ``--check`` report it.

Invariant: each change of the state is logged once; "works again" only follows a logged problem.
"""

from __future__ import annotations

import logging

from ..log import log


class Report:
    """The state of the source with this ``name``. Problems are logged at ``level``; their end is
    logged at info, or at debug if ``level`` is debug."""

    def __init__(self, name: str, level: int = logging.WARNING) -> None:
        self.name = name
        #: Why the last fetch failed, and what helps; empty if it did not.
        self.error = self.help = ""
        self._level = level
        self._state = "up"
        self._told = False

    @property
    def up(self) -> bool:
        """Whether all is well."""
        return self._state == "up"

    def set(self, state: str, error: str = "", help: str = "", quiet: bool = False) -> None:
        """Sets the state, "up" if all is well. ``quiet``: the hypervisor reports the problem."""
        self.error, self.help = error, help
        if state == self._state:
            return
        text = f"{error}; {help}" if help else error
        if state == "up":
            level, text = min(self._level, logging.INFO), "works again"
            log.log(level if self._told else logging.DEBUG, "%s: %s", self.name, text)
        else:
            log.log(logging.DEBUG if quiet else self._level, "%s: %s", self.name, text)
        self._told = state != "up" and not quiet
        self._state = state
