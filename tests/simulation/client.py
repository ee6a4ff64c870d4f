"""Simulated connections and their threads: they serve the engine's requests with calls.

Invariant: a request is served as connection/reader.py and sources/scope.py do it, call by call, and
the thread writes its progress. A thread reads ``abandoned`` only between two calls.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from random import Random
from typing import Callable, Optional, Union

from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError
from telegraf_execd_libvirt.connection.requests import (
    Abandoned,
    BatchRequest,
    Content,
    ControlRequest,
    Controls,
    FetchRequest,
    Host,
    HostRequest,
    Identities,
    Listing,
    ListRequest,
    Piece,
    Records,
    Request,
    Uuids,
    XmlRequest,
)
from telegraf_execd_libvirt.domain.record import NO_IDENTITY, Domain, Identity, Stats
from telegraf_execd_libvirt.hypervisor.messages import Ended, Event, Link, Opened, Part

from .clock import Clock
from .daemon import Call, Daemon, Defect, Guest
from .scenario import Fault, Scenario

Steps = Generator[Call, Sequence[Guest], None]

#: Calls for one guest that take less than this altogether are one step of the simulation.
_STEP_SECONDS = 0.02

#: An attempt takes no longer, unless a fault makes it wait.
_LONGEST_LOGIN = 3.0


class Connection:
    """One link and its thread. ``open`` until the peer or the engine closes it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.open = False
        self.alive = True
        self.muted = False
        self.names: set[str] = set()
        self.steps: Optional[Steps] = None
        self.call: Optional[Call] = None
        self.request: object = None
        self.asked = 0.0
        self.last: Optional[Union[Content, Records]] = None


class Client:
    """All connections of the plugin. Events go to ``post``."""

    def __init__(
        self, scenario: Scenario, clock: Clock, daemon: Daemon, post: Callable[[Event], None]
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._daemon = daemon
        self._post = post
        self._random = Random(f"client {scenario.seed}")
        self.connections: dict[Link, Connection] = {}
        #: Attempts that wait for the end of a fault.
        self._stalled: list[tuple[Connection, float]] = []
        #: The number of attempts that never end.
        self.never = 0
        #: Faults of attempts, while they last.
        self.refusing: list[Fault] = []
        self._identities: dict[str, tuple[int, Identity]] = {}

    @property
    def alive(self) -> list[Connection]:
        """The open connections that the daemon serves."""
        return [link for link in self.connections.values() if link.open and link.alive]

    # Attempts

    def open(self, link: Link) -> None:
        """Starts an attempt."""
        connection = self.connections[link] = Connection(link)
        began = self._clock.now
        seconds = min(_LONGEST_LOGIN, self._scenario.login * self._daemon.jitter())
        self._clock.after(seconds, lambda: self._opens(connection, began))

    def _opens(self, connection: Connection, began: float) -> None:
        error: Optional[LibvirtError] = None
        stalled = self._daemon.stopped > 0
        for fault in self.refusing:
            full = fault.kind == "full" and len(self.alive) >= 1 + fault.guest % 4
            if fault.kind == "silent" or (full and fault.rate < 1):
                stalled = True
            elif fault.kind != "full" or full:
                error = LibvirtError(38, 7, f"no way: {fault.word}", known=ErrorKind[fault.word])
        if stalled:
            self._stalled.append((connection, began))
            return
        seconds = self._clock.now - began
        connection.open = error is None
        if error is not None:
            del self.connections[connection.link]
        self._post(Opened(connection.link, seconds, error, "QEMU", "9.0.0"))

    def forget(self) -> None:
        """The peer has lost its power: attempts that wait never end."""
        self.never += len(self._stalled)
        self._stalled.clear()

    def changed(self) -> None:
        """A fault of attempts is over, or a place is free: those that wait go on."""
        stalled, self._stalled = self._stalled, []
        for connection, began in stalled:
            self._opens(connection, began)

    # Connections

    def kill(self, connection: Connection) -> None:
        """The connection dies; libvirt knows it at once."""
        connection.alive = False
        if connection.call is not None:
            connection.call.wanted = False
            self._answer(connection, connection.call, (), _lost())

    def mute(self, connection: Connection, muted: bool) -> None:
        """The peer is silent, or libvirt finds at last that it is."""
        connection.muted = muted
        if not muted:
            self.kill(connection)

    def close(self, link: Link) -> None:
        """Carries out Close."""
        self.connections.pop(link).open = False
        self.changed()

    def ask(self, link: Link, request: Union[Request, FetchRequest]) -> None:
        """Carries out Ask."""
        connection = self.connections[link]
        connection.request, connection.last = request, None
        connection.asked = self._clock.now
        connection.steps = self._serve(connection, request)
        self._clock.after(1e-5, lambda: self._step(connection, None, None))

    def _step(
        self,
        connection: Connection,
        guests: Optional[Sequence[Guest]],
        trouble: Optional[Exception],
    ) -> None:
        """Goes on with a request until its next call, or to its end."""
        steps = connection.steps
        assert steps is not None
        error: Optional[LibvirtError] = None
        defect: Optional[Defect] = None
        try:
            if trouble is not None:
                call = steps.throw(trouble)
            else:
                call = next(steps) if guests is None else steps.send(guests)
        except (StopIteration, Abandoned):
            pass
        except LibvirtError as raised:
            error = raised
        except Defect as raised:
            error, defect = LibvirtError(0, 0, f"{raised}", known=ErrorKind.FAILED), raised
        else:
            connection.call, call.request = call, connection.request
            if call.kind in ("look-up", "own", "xml") or (call.kind == "fetch" and call.names):
                call.progress = connection.link.progress
            call.done = partial(self._answer, connection, call)
            if connection.alive:
                self._daemon.start(call)
            else:
                self._clock.after(1e-4, lambda: self._answer(connection, call, (), _lost()))
            return
        connection.steps = None
        if error is not None and error.kind is ErrorKind.LOST and error.code == 1:
            connection.alive = False
        seconds = self._clock.now - connection.asked
        last, connection.last = connection.last, None
        self._post(Ended(connection.link, seconds, last, error, defect, connection.alive))

    def _answer(
        self,
        connection: Connection,
        call: Call,
        guests: Sequence[Guest],
        error: Optional[Exception],
    ) -> None:
        if connection.call is not call or connection.muted:
            return
        connection.call = None
        self._step(connection, guests, error)

    # What a thread does

    def _serve(self, connection: Connection, request: Union[Request, FetchRequest]) -> Steps:
        if isinstance(request, BatchRequest):
            yield from self._batch(connection, request)
        elif isinstance(request, ControlRequest):
            yield from self._control(connection, request)
        elif isinstance(request, XmlRequest):
            yield from self._xml(connection, request)
        elif isinstance(request, FetchRequest):
            yield from self._fetch(connection, request)
        elif isinstance(request, HostRequest):
            yield Call("host")
            connection.last = Host(info=(1,))
        elif isinstance(request, ListRequest):
            yield from self._list(connection)
        else:
            yield Call("watch")

    def _list(self, connection: Connection) -> Steps:
        guests = yield Call("list", None)
        connection.names = {guest.name for guest in guests}
        uuids = {guest.name: guest.uuid for guest in guests if guest.selected}
        self._post(Part(connection.link, Listing(uuids, len(guests))))

    def _known(
        self, connection: Connection, names: Sequence[str], uuids: Optional[Uuids], look_up: bool
    ) -> Generator[Call, Sequence[Guest], list[str]]:
        """The handles of these domains."""
        progress = connection.link.progress
        if uuids is None:
            if not connection.names.issuperset(names):
                guests = yield Call("list", None)
                connection.names = {guest.name for guest in guests}
        else:
            missing = [name for name in names if look_up or name not in connection.names]
            try:
                for some in self._in_turn(missing, self._scenario.trip):
                    progress.step(some[0], self._clock.now)
                    progress.looks_up = True
                    guests = yield Call("look-up", some)
                    connection.names.difference_update(some)
                    connection.names.update(guest.name for guest in guests)
                progress.step("", self._clock.now)
            finally:
                if missing:
                    progress.looks_up, progress.at = False, ""
                    progress.looked_up = self._clock.now
        return [name for name in names if name in connection.names]

    def _in_turn(self, names: Sequence[str], each: float) -> Generator[list[str], None, None]:
        """Calls for one guest after the other. Those that cannot hang are taken together."""
        most = max(1, int(_STEP_SECONDS / each))
        at = 0
        while at < len(names):
            special = {guest.name for guest in self._daemon.special}
            end = at + 1
            while end < min(len(names), at + most) and special.isdisjoint(names[at : end + 1]):
                end += 1
            yield [*names[at:end]]
            at = end

    def _batch(self, connection: Connection, request: BatchRequest) -> Steps:
        names: Optional[Sequence[str]] = request.names
        if names is not None:
            names = yield from self._known(connection, names, request.uuids, request.look_up)
        groups = request.groups
        monitor = not request.no_monitor and (groups is None or not groups <= {"state"})
        block = not request.without_block and (groups is None or "block" in groups)
        call = Call("statistics", names, monitor, nowait=True, block=block and monitor)
        guests = (yield call) if names is None or (names and groups != frozenset()) else ()
        if groups is not None and not groups:  # they were only looked up
            guests = [self._daemon.guests[n] for n in names or () if n in self._daemon.guests]
        partial = set(call.skipped)
        if self._scenario.own and (groups is None or "block" in groups):
            running = [guest.name for guest in guests if guest.running]
            partial |= request.hung.intersection(running)
            asked = [name for name in running if name not in request.skip]
            for some in self._in_turn(asked, self._scenario.each):
                connection.link.progress.step(some[0], self._clock.now)
                spared = request.no_monitor or some[0] in request.hung
                yield Call("own", some, monitor=not spared)
            connection.link.progress.step("", self._clock.now)
        if request.no_monitor:
            partial.update(guest.name for guest in guests if guest.running)
        # When it was asked: what is written must not be old.
        stats: Stats = {"asked": connection.asked}
        domains, due = [], []
        for guest in guests:
            identity = self._identity(guest)
            if identity is None:
                due.append(guest.name)
            domains.append(Domain(guest.name, guest.running, stats, identity, groups))
        uuids = {guest.name: guest.uuid for guest in guests} if request.names is None else {}
        connection.last = Piece(domains, frozenset(partial), due, uuids)

    def _identity(self, guest: Guest) -> Optional[Identity]:
        """None if it is not known, or if an event says that it is out of date."""
        if not self._scenario.tags:
            return NO_IDENTITY
        version, identity = self._identities.get(guest.uuid, (None, None))
        return identity if version == guest.version else None

    def _xml(self, connection: Connection, request: XmlRequest) -> Steps:
        names = [name for name in request.names if name not in request.hung]
        names = yield from self._known(connection, names, request.uuids, False)
        found = {}
        for some in self._in_turn(names, self._scenario.each):
            connection.link.progress.step(some[0], self._clock.now)
            guests: Sequence[Guest] = ()
            try:
                guests = yield Call("xml", some, monitor=not self._scenario.old_libvirt)
            except LibvirtError as error:
                if error.kind is ErrorKind.LOST:
                    raise
            for guest in guests:
                identity = Identity(tags={"version": str(guest.version)})
                self._identities[guest.uuid] = guest.version, identity
                found[guest.name] = identity
        connection.last = Identities(found)

    def _control(self, connection: Connection, request: ControlRequest) -> Steps:
        names = [name for name in request.names if name not in request.hung]
        names = yield from self._known(connection, names, request.uuids, False)
        found: dict[str, Stats] = {}
        for some in self._in_turn(names, self._scenario.each):
            connection.link.progress.step(some[0], self._clock.now)
            guests = yield Call("control", some, monitor=False)
            found.update((guest.name, {"control": connection.asked}) for guest in guests)
        connection.last = Controls(found)

    def _fetch(self, connection: Connection, request: FetchRequest) -> Steps:
        progress = connection.link.progress
        of_domains = request.options["of_domains"]
        records, worked, last = [], False, None
        if not of_domains:
            yield Call("fetch")
            worked, records = True, [Domain("host", True, {})]
        else:
            lane, lanes = request.lane
            if request.uuids is None:
                progress.step("", self._clock.now)
                guests = yield Call("fetch", None)
                names = [guest.name for guest in guests if guest.selected]
            else:
                names = yield from self._known(connection, [*request.uuids], request.uuids, False)
            names = [name for name in names if int(name.strip("gother")) % lanes == lane]
            names = [name for name in names if name not in request.skipped]
            for some in self._in_turn(names, self._scenario.each):
                progress.step(some[0], self._clock.now)
                try:
                    guests = yield Call("fetch", some, monitor=True)
                except LibvirtError as error:
                    if error.kind in (ErrorKind.LOST, ErrorKind.DENIED):
                        raise
                    last = error
                else:
                    worked = True
                    records += [Domain(guest.name, True, {}) for guest in guests]
                progress.step("", self._clock.now)
        connection.last = Records(records, worked, last)


def _lost() -> LibvirtError:
    return LibvirtError(1, 10, "the connection is lost", known=ErrorKind.LOST)
