"""A scripted libvirt daemon: a thread that speaks the part of the protocol that the tests need.

The rule: it does what a test says, also what no real daemon does on demand (stay silent, hang up,
refuse with any message). It and its socket are gone at the end of the `with` block.

The protocol is libvirt's RPC (https://libvirt.org/kbase/internals/rpc.html): XDR messages with a
header of seven numbers. Procedure numbers and records are those of remote_protocol.x.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from support.crowd import Crowd, one_guest, string
from support.process import Closing
from support.vcpus import (
    GET_INFO,
    GET_VCPU_PIN_INFO,
    GET_VCPUS,
    NODE_GET_CPU_MAP,
    cpu_map,
)

PROGRAM, VERSION = 0x20008086, 1
CLOSE = 2
OPEN, GET_TYPE, AUTH_LIST, GET_LIB_VERSION = 1, 3, 66, 157
NODE_GET_INFO, GET_XML_DESC, NODE_GET_CPU_STATS, NODE_GET_MEMORY_STATS = 6, 14, 227, 228
LOOK_UP_BY_NAME, LOOK_UP_BY_UUID = 23, 24
NUM_OF_DEFINED_DOMAINS, NUM_OF_DOMAINS, LIST_ALL_DOMAINS, GET_ALL_DOMAIN_STATS = 25, 51, 273, 344
GET_GUEST_INFO, SET_AGENT_TIMEOUT, GET_CONTROL_INFO = 418, 420, 229
INTERFACE_ADDRESSES = 353
GET_JOB_STATS, LIST_ALL_NETWORKS, EVENTS_REGISTER, LIFECYCLE_EVENT = 298, 283, 167, 107

_GET_STATE = 212
_REPLY, _MESSAGE, _STATUS_OK, _STATUS_ERROR = 1, 2, 0, 1
_HEADER = struct.Struct(">7I")  # length, program, version, procedure, type, serial, status

#: Lifecycle events with their details: defined (added), undefined (removed), started (booted).
_DEFINED, _UNDEFINED, _STARTED = (0, 0), (1, 0), (2, 0)

#: The flag of a read-only connection, and libvirtd's error for others.
_READ_ONLY = 1
_DENIED = (45, 7, "authentication failed: access denied by policy")

#: Calls that look at all domains, beside GET_ALL_DOMAIN_STATS without a list.
_ABOUT_ALL = (LIST_ALL_DOMAINS, NUM_OF_DOMAINS, NUM_OF_DEFINED_DOMAINS)

#: What a crowd answers, and libvirtd's errors if there is no answer or no such guest.
_OF_CROWD: dict[int, Callable[[Crowd, bytes], bytes | None]] = {
    GET_ALL_DOMAIN_STATS: Crowd.statistics,
    LIST_ALL_DOMAINS: Crowd.listed,
    LOOK_UP_BY_NAME: Crowd.named,
    LOOK_UP_BY_UUID: Crowd.looked_up,
    GET_XML_DESC: Crowd.xml,
    NUM_OF_DOMAINS: lambda crowd, _: crowd.counted(active=True),
    NUM_OF_DEFINED_DOMAINS: lambda crowd, _: crowd.counted(active=False),
}
_NOT_FOUND = (42, 10, "Domain not found")
_WITHOUT_REPLY = {
    GET_VCPUS: (55, 10, "Requested operation is not valid: domain is not running"),
    GET_ALL_DOMAIN_STATS: (39, 7, "Unable to encode message payload"),
}

#: The host of the daemon: KiB of memory, and its statistics by procedure.
_HOST_KIB = 64 << 20
_HOST = {
    NODE_GET_CPU_STATS: {"user": 1000, "kernel": 2000, "idle": 3000, "iowait": 4000},
    NODE_GET_MEMORY_STATS: {"total": _HOST_KIB, "free": 12345, "buffers": 1, "cached": 2},
}


class Daemon(Closing):
    """Listens on a UNIX socket until it is closed; has one running guest, or a crowd.

    Procedures in `unanswered` get no answer until `answer()`; if `silent`, none does. Beyond
    `most_connections` each connection ends at once; with `queueing` it waits until another one
    ends, as those of a real daemon do. If `read_only`, it refuses connections that are not.
    `failing` has errors (libvirt's code, domain and message) by procedure, at first the `error` of
    requests for statistics, and `addressless` those of INTERFACE_ADDRESSES by their source. `asked`
    lists the procedures called so far.
    """

    def __init__(
        self,
        path: Path,
        *,
        silent: bool = False,
        error: tuple[int, int, str] | None = None,
        crowd: Crowd | None = None,
        most_connections: int | None = None,
        read_only: bool = False,
        queueing: bool = False,
    ) -> None:
        self.path = path
        self.uri = f"qemu+unix:///system?socket={path}"
        #: The last response timeout of an agent.
        self.agent_timeout: int | None = None
        self.silent = silent
        self.crowd = crowd or one_guest()
        self.most_connections = most_connections
        self.read_only = read_only
        self.queueing = queueing
        self.failing = {GET_ALL_DOMAIN_STATS: error} if error else {}
        self.addressless: dict[int, tuple[int, int, str]] = {}
        self.unanswered: set[int] = set()
        self.asked: list[int] = []
        self.connections = 0
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, bytes] = {}
        self._listening: set[socket.socket] = set()
        self._kept_back: list[tuple[socket.socket, bytes]] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.fspath(path))
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="daemon")
        self._thread.start()

    def answer(self) -> None:
        """Answer the waiting requests now, and all later ones."""
        with self._lock:
            self.silent = False
            self.unanswered.clear()
            self.crowd.vcpus.held.clear()
            for connection, message in self._kept_back:
                self._reply(connection, message)
            self._kept_back.clear()

    def replace_guest(self) -> None:
        """Remove a guest and start another one; connections that asked for events get them."""
        with self._lock:
            self._send_event(self.crowd.undefine(), *_UNDEFINED)
            self._send_event(self.crowd.domain(self.crowd.define()), *_STARTED)

    def tell_of(self, name: str) -> None:
        """Send the event that a guest was defined anew, to those that asked for it."""
        with self._lock:
            self._send_event(self.crowd.domain(name), *_DEFINED)

    def _send_event(self, domain: bytes, event: int, detail: int) -> None:
        body = domain + _ints(event, detail)
        length = _HEADER.size + len(body)
        header = _HEADER.pack(length, PROGRAM, VERSION, LIFECYCLE_EVENT, _MESSAGE, 0, _STATUS_OK)
        for connection in self._listening:
            with contextlib.suppress(OSError):  # the client may be gone
                connection.sendall(header + body)

    def close(self) -> None:
        """Close all connections and remove the socket; may be called again."""
        if self._thread.is_alive():
            self._wake.send(b"x")
            self._thread.join()
        for connection in (*self._received, self._listener, self._wake, self._woken):
            connection.close()
        self._selector.close()
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._receive(key.fileobj)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self.connections += 1
        if self.most_connections is not None and len(self._received) >= self.most_connections:
            connection.close()
            return
        self._received[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)
        if self.queueing and len(self._received) == self.most_connections:
            self._selector.unregister(self._listener)

    def _receive(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(connection)
            if self.queueing and len(self._received) == self.most_connections:
                self._selector.register(self._listener, selectors.EVENT_READ)
            del self._received[connection]
            with self._lock:
                self._listening.discard(connection)
                connection.close()
            return
        waiting = self._received[connection] + data
        while len(waiting) >= 4 and len(waiting) >= (length := _HEADER.unpack_from(waiting)[0]):
            self._answer(connection, waiting[:length])
            waiting = waiting[length:]
        self._received[connection] = waiting

    def _answer(self, connection: socket.socket, message: bytes) -> None:
        _, program, _, procedure, _, _, _ = _HEADER.unpack_from(message)
        if program != PROGRAM:
            return  # the keepalive protocol, which this daemon does not support
        with self._lock:
            self.asked.append(procedure)
            if self._hangs(procedure, message):
                self._kept_back.append((connection, message))
            else:
                self._reply(connection, message)

    def _hangs(self, procedure: int, message: bytes) -> bool:
        if self.silent or procedure in self.unanswered:
            return True
        body = message[_HEADER.size :]
        is_statistics = procedure == GET_ALL_DOMAIN_STATS
        about_all = procedure in _ABOUT_ALL or (is_statistics and body.startswith(_ints(0)))
        return self.crowd.is_locked(body, about_all) or self.crowd.vcpus.holds(procedure, body)

    def _reply(self, connection: socket.socket, message: bytes) -> None:
        _, program, version, procedure, _, serial, _ = _HEADER.unpack_from(message)
        error = self.failing.get(procedure)
        if procedure == INTERFACE_ADDRESSES:
            (source, _) = struct.unpack(">2I", message[-8:])
            error = self.addressless.get(source)
        elif procedure == OPEN and self.read_only and not message[-1] & _READ_ONLY:
            error = _DENIED
        body = None
        try:
            body = self._body(procedure, message[_HEADER.size :])
        except KeyError:
            error = error or _NOT_FOUND
        if body is None or error:
            body = _error(*(error or _WITHOUT_REPLY[procedure]))
            status = _STATUS_ERROR
        else:
            status = _STATUS_OK
        length = _HEADER.size + len(body)
        header = _HEADER.pack(length, program, version, procedure, _REPLY, serial, status)
        with contextlib.suppress(OSError):  # the client may be gone
            connection.sendall(header + body)
        if procedure == EVENTS_REGISTER:
            self._listening.add(connection)

    def _body(self, procedure: int, request: bytes) -> bytes | None:
        if procedure in _OF_CROWD:
            return _OF_CROWD[procedure](self.crowd, request)
        if procedure in (GET_INFO, GET_VCPUS, GET_VCPU_PIN_INFO):
            return self.crowd.about_vcpus(procedure, request)
        if procedure == GET_CONTROL_INFO:
            return _ints(2, 0) + struct.pack(">Q", 1234)  # occupied for 1.2 s
        if procedure == SET_AGENT_TIMEOUT:
            (self.agent_timeout, _) = struct.unpack(">iI", request[-8:])
            return _ints(0)
        if procedure == NODE_GET_CPU_MAP:
            return cpu_map(request, self.crowd.vcpus.cpus)
        if procedure == INTERFACE_ADDRESSES:
            interface = string("vnet0") + _ints(0, 1, 0) + string("10.0.0.5") + _ints(24)
            return _ints(1) + interface
        if procedure == AUTH_LIST:
            return _ints(1, 0)  # one authentication method: none
        if procedure == NODE_GET_INFO:
            return _ints(*b"x86_64", *bytes(26)) + struct.pack(
                ">Q6i", _HOST_KIB, 8, 2000, 1, 1, 8, 1
            )
        if procedure in _HOST:
            return _host(_HOST[procedure], request)
        if procedure == GET_TYPE:
            return string("QEMU")
        if procedure == GET_LIB_VERSION:
            return struct.pack(">Q", 9_000_000)
        if procedure == _GET_STATE:
            return _ints(1, 0)  # it runs
        return bytes(32)  # an empty list, an empty text, zeros: whatever the client expects


def _host(values: dict[str, int], request: bytes) -> bytes:
    """Statistics of the host; a request for none of them gets their number. The request has that
    and -1, for the whole host, in an order that depends on the procedure."""
    if max(struct.unpack_from(">2i", request)) == 0:
        return _ints(0, len(values))
    body = b"".join(string(name) + struct.pack(">Q", value) for name, value in values.items())
    return _ints(len(values)) + body + _ints(len(values))


def _ints(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}i", *numbers)


def _error(code: int, domain: int, message: str) -> bytes:
    """A remote_error of level 2 (error), without domain, strings and network."""
    return _ints(code, domain, 1) + string(message) + _ints(2, 0) + _ints(0, 0, 0) + _ints(0, 0, 0)
