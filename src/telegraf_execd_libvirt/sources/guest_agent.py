"""Source ``guest_agent``: what the QEMU guest agent reports about the guest.

libvirt refuses these calls on a read-only connection, so this source alone opens another one. Only
guests whose agent is connected are asked. A guest whose agent does not answer is asked less and
less often, until its agent connects again: agents are frozen during backups.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from .. import options
from ..domain import Domain
from ..domain_xml import parse_xml
from ..groups import guest_agent
from .guest_info import lines
from .source import MINUTE, Option, Source

if TYPE_CHECKING:
    from ..connection.scope import Scope

#: Guests that are asked at the same time.
AT_ONCE = 4

#: Seconds until a guest is asked again whose agent did not answer; doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0

#: VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, and its state for an agent that has connected.
_AGENT, _CONNECTED = 18, 1

_CHANNEL = "org.qemu.guest_agent.0"

#: File systems without files of the guest's own.
PSEUDO_FILESYSTEMS = (
    *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts"),
    *("devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay"),
    *("proc", "pstore", "ramfs", "securityfs", "squashfs", "sysfs", "tmpfs", "tracefs"),
)


@dataclass
class _Pause:
    """A guest whose agent did not answer: the monotonic time at which it may be asked again, the
    length of the pause, and the reason."""

    until: float
    seconds: float
    error: Any


class _Agents:
    def __init__(self) -> None:
        self._scope: Optional[Scope] = None
        self._lock = threading.Lock()
        #: The UUIDs of guests whose agent has connected since the last fetch.
        self._connected: set[str] = set()
        #: The pauses of guests, by UUID.
        self._pauses: dict[str, _Pause] = {}
        #: By UUID: the life of the domain for which the timeout of its agent was set.
        self._limited: dict[str, int] = {}

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        if self._scope is not scope:
            self._scope = scope
            scope.watch((_AGENT,), self._note)
        with self._lock:
            connected, self._connected = self._connected, set()
        for uuid in connected:
            self._pauses.pop(uuid, None)
        seen = set()
        for handle in scope.domains(active=True, hanging=True):
            uuid = scope.uuid(handle)
            seen.add(uuid)
            pause = self._pauses.get(uuid)
            if pause is not None and time.monotonic() < pause.until:
                scope.error = scope.error or pause.error  # it holds on
                continue
            if scope.hangs(handle) or not is_connected(scope.xml(handle)):
                continue
            info = self._ask(scope, handle, uuid)
            if info is None:
                seconds = min(_LONGEST_PAUSE, 2 * pause.seconds if pause else _FIRST_PAUSE)
                self._pauses[uuid] = _Pause(time.monotonic() + seconds, seconds, scope.error)
                continue
            self._pauses.pop(uuid, None)
            excluded, users = scope.options["filesystem_exclude"], scope.options["users"]
            for line in lines(info, excluded, users):
                yield scope.domain(handle, line.prefix, line.keys, **line.tags)
        for memory in (self._pauses, self._limited):
            for uuid in memory.keys() - seen:
                del memory[uuid]

    def _note(self, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
        if arguments and arguments[0] == _CONNECTED:
            with self._lock:
                self._connected.add(uuid)

    def _ask(self, scope: Scope, handle: Any, uuid: str) -> Optional[dict[str, Any]]:
        # The agent has to synchronize before it answers, which may take as long.
        if self._limited.get(uuid) != scope.life(handle):
            self._limited[uuid] = scope.life(handle)
            scope.quietly(handle, "agentSetResponseTimeout", max(1, int(scope.timeout / 2)), 0)
        everything = 0
        info: Optional[dict[str, Any]] = scope.call(handle, "guestInfo", everything, 0)
        return info


def is_connected(xml: Optional[str]) -> bool:
    """Whether the guest's agent has opened its channel."""
    try:
        root = parse_xml(xml or "")
    except ValueError:
        return False
    targets = root.iterfind("devices/channel/target")
    return any(t.get("name") == _CHANNEL and t.get("state") == "connected" for t in targets)


SOURCE = Source(
    group=guest_agent.GROUP,
    new=_Agents,
    interval=MINUTE,
    lanes=AT_ONCE,
    read_only=False,
    options={
        "users": Option(options.boolean, False),
        "filesystem_exclude": Option(options.strings, PSEUDO_FILESYSTEMS),
    },
    advice="the guest agent needs a read-write connection: allow this user the polkit action "
    "org.libvirt.unix.manage, or add it to the group libvirt; both are equivalent to root on the "
    "host, see docs/permissions.md",
)
