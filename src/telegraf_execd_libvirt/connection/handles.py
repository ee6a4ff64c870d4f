"""The handles of domains, kept for further requests on one connection.

Invariant: no more handles are kept than there were domains when they were last listed or named,
also if the names keep changing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Optional

from ..domain.mistakes import Mistake
from ..domain.selection import Selection
from . import api
from .api import Connection, Handle
from .requests import Listing, Progress, Uuids


class Handles:
    """The handles of the selected domains, by their names."""

    def __init__(self, connection: Connection, selection: Selection, progress: Progress) -> None:
        self._connection = connection
        self._selection = selection
        self._progress = progress
        self._known: dict[str, Handle] = {}
        #: The names and lives in the last answer for all domains, and their UUIDs.
        self._running: tuple[list[str], list[int]] = ([], [])
        self._of_all: Uuids = {}
        #: All names and UUIDs of the last list. They are joined: two lists need 0.3 MB more for
        #: 3000 domains.
        self._listed = "", b""
        #: What is selected of them.
        self._uuids: Uuids = {}
        #: The names that were missing, and whether nothing was selected, when that was judged.
        self._judged: tuple[frozenset[str], bool] = (frozenset(), False)

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        """Forgets all: they keep the connection open."""
        self._known.clear()

    def keep(self, handle: Handle) -> None:
        """A request for this domain may follow."""
        self._known[api.name(handle)] = handle

    def forget(self, handles: Iterable[Handle]) -> None:
        """Forgets domains that libvirt does not know any more; others may have their names."""
        for name in api.names(handles):
            self._known.pop(name, None)

    def list_all(self) -> Listing:
        """The selected domains; the handles of all others are forgotten."""
        handles = self._connection.domains(self._selection.flags)
        names = api.names(handles)
        listed = "\0".join(names), b"".join(api.raw_uuids(handles))
        self._known = dict(zip(names, handles))
        if listed != self._listed:
            self._listed = listed
            selected = self._selection.names(names)
            self._uuids = {name: api.uuid(self._known[name]) for name in selected}
        existing = self._connection.count if self._selection.flags else len(handles)
        return Listing(self._uuids, existing, self._mistakes(not self._uuids))

    def _mistakes(self, is_empty: bool) -> list[Mistake]:
        """Probable mistakes in the selection; looked for once for the same missing names."""
        missing = self._selection.missing(self._known)
        if (missing, is_empty) == self._judged:
            return []
        self._judged = missing, is_empty
        if not (missing or is_empty):
            return []
        names = [*self._known]
        if self._selection.flags:
            names = api.names(self._connection.domains(0))
        return self._selection.mistakes(names, not is_empty)

    def known(
        self, names: Sequence[str], uuids: Optional[Uuids] = None, look_up: bool = False
    ) -> list[Handle]:
        """The handles of these domains; a domain that no longer exists has none. With ``uuids``,
        those of all domains, a domain without a handle is looked up, with ``look_up`` each."""
        if uuids is not None:
            kept = uuids.keys() - names if look_up else uuids.keys() | names
            known = {name: handle for name, handle in self._known.items() if name in kept}
            missing = [name for name in names if name not in known]
            self._known = known
            known.update(look_up_each(self._connection, missing, uuids, self._progress))
        elif not self._known.keys() >= set(names):
            self.list_all()
        return [*filter(None, map(self._known.get, names))]

    def renewed(self, names: Sequence[str], uuids: Optional[Uuids] = None) -> list[Handle]:
        """Called after an answer without some of these domains. Returns the new handles of domains
        that were defined anew under the same name; domains that are gone have none."""
        old = {name: api.uuid(self._known[name]) for name in names if name in self._known}
        if uuids is None:
            self.list_all()
            new = {name: api.uuid(self._known[name]) for name in old if name in self._known}
        else:
            new = {name: uuids.get(name) or uuid for name, uuid in old.items()}
        anew = [name for name, uuid in new.items() if uuid != old[name]]
        if uuids is not None:
            self.forget([self._known[name] for name in anew])
        return self.known(anew, uuids)

    def uuids(self, handles: Sequence[Handle], names: list[str], lives: list[int]) -> Uuids:
        """The UUIDs of all domains by name; a running domain keeps its own."""
        if (names, lives) != self._running or -1 in lives:
            self._running = names, lives
            self._of_all = dict(zip(names, map(api.uuid, handles)))
        return self._of_all


def look_up_each(
    connection: Connection, names: Iterable[str], uuids: Uuids, progress: Progress
) -> dict[str, Handle]:
    """The handles of these domains, one call for each; those that are gone have none. The look-up
    of a locked domain hangs."""
    found = {}
    progress.looks_up = True
    try:
        for name in names:
            progress.step(name, time.monotonic())
            found[name] = connection.look_up(name, uuids.get(name, ""))
    finally:
        progress.looks_up, progress.at = False, ""
    progress.looked_up = progress.since = time.monotonic()
    return {name: handle for name, handle in found.items() if handle is not None}
