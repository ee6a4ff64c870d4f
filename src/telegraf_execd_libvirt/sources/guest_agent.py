"""Source ``guest_agent``: what the QEMU guest agent reports about the guest.

libvirt refuses these calls on a read-only connection, so only this source opens read-write ones. It
asks only guests whose agent is connected. If an agent does not answer, its guest is asked less and
less often until the agent connects again: agents are frozen during backups.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..domain.record import Domain
from ..groups.schema import Metric, Type, gauge, text
from .guest_call import Asked, is_ready
from .guest_info import MOST_LINES, MOST_SERIES, Limits, lines
from .source import MINUTE, Option, Scope, Source

#: Guests that are asked at the same time.
AT_ONCE = 4

#: Seconds before a guest is asked again if its agent did not answer; doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0

#: VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, and its state for an agent that has connected.
_AGENT, _CONNECTED = 18, 1

#: File systems that the guest cannot write, or without files.
PSEUDO_FILESYSTEMS = (
    *("autofs", "binfmt_misc", "bpf", "CDFS", "cgroup", "cgroup2", "configfs", "debugfs", "devpts"),
    *("devtmpfs", "efivarfs", "erofs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs"),
    *("overlay", "proc", "pstore", "ramfs", "securityfs", "squashfs", "sysfs", "tmpfs", "tracefs"),
    *("udf", "UDF"),
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
        self._lock = threading.Lock()
        #: The UUIDs of guests whose agent has connected since the last fetch.
        self._connected: set[str] = set()
        #: The pauses of guests, by UUID.
        self._pauses: dict[str, _Pause] = {}
        self._limits = Limits()
        self._asked = Asked()

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        with self._lock:
            connected, self._connected = self._connected, set()
        for uuid in connected:
            self._pauses.pop(uuid, None)
            self._asked.connected(uuid)
        seen = set()
        for handle in scope.domains(active=True, hung=True):
            uuid = scope.uuid(handle)
            seen.add(uuid)
            self._asked.restore(scope, handle)
            pause = self._pauses.get(uuid)
            if pause is not None and time.monotonic() < pause.until:
                scope.hold(pause.error)
                scope.counted += 1
                continue
            if scope.is_hung(handle) or not is_ready(scope, handle):
                continue
            scope.counted += 1
            # If the call is abandoned, this pause stays.
            seconds = min(_LONGEST_PAUSE, 2 * pause.seconds if pause else _FIRST_PAUSE)
            pause = self._pauses[uuid] = _Pause(time.monotonic() + seconds, seconds, None)
            info = self._asked.ask(scope, handle)
            if info is None:
                pause.error = scope.error
                continue
            self._pauses.pop(uuid, None)
            excluded, users = scope.options["filesystem_exclude"], scope.options["users"]
            found = lines(info, excluded, users)
            admitted, dropped = self._limits.admit(uuid, found, time.monotonic())
            scope.drop(dropped, _too_many(scope.name(handle)))
            for line in admitted:
                yield scope.domain(handle, line.prefix, line.keys, **line.tags)
        self._limits.forget_others(seen, time.monotonic())
        if scope.sees_all:
            self._asked.forget_others(seen)
        for uuid in self._pauses.keys() - seen:
            del self._pauses[uuid]

    def happened(self, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
        """Notes that an agent has connected."""
        if arguments and arguments[0] == _CONNECTED:
            with self._lock:
                self._connected.add(uuid)


def _too_many(name: str) -> str:
    return (
        f"domain {name}: its agent reports more than {MOST_LINES} file systems or interfaces, or "
        f"more than {MOST_SERIES} new ones in a day; the others are left out"
    )


SOURCE = Source(
    name="guest_agent",
    summary="file systems, users, operating system, load and addresses of guests",
    reads="file systems, users, operating system, host name, load and addresses of guests",
    calls="`virDomainGetGuestInfo` for each guest with a connected agent, at most 4 at the same "
    "time, for the kinds of information that are written. It needs a "
    "[read-write connection](permissions.md#guest-agent).",
    new=_Agents,
    events=(_AGENT,),
    interval=MINUTE,
    lanes=AT_ONCE,
    read_only=False,
    least_timeout=2_000_000_000,
    options=(
        Option(
            "users",
            default=False,
            comment="Write the names of logged-in users, not only their number",
            help="write the names of the logged-in users, not only their number. They are personal "
            "data.",
        ),
        Option(
            "filesystem_exclude",
            default=PSEUDO_FILESYSTEMS,
            comment="Types of file systems to leave out",
            help="types of file systems to leave out. The default has pseudo file systems and "
            "those of media that cannot be written, see the sample.",
        ),
    ),
    counts="connected agents",
    none="qemu-guest-agent must run in the guest, and its XML needs a <channel> with the target "
    "org.qemu.guest_agent.0",
    advice="the guest agent needs a read-write connection: allow this user the polkit action "
    "org.libvirt.unix.manage, or add it to the group libvirt; both are equivalent to root on the "
    "host, see docs/permissions.md",
    metrics=(
        Metric(
            prefix="guest_filesystem",
            extra_tags=("mountpoint", "fstype", "device"),
            help="One mounted file system of the guest",
            fields=(
                gauge("total_bytes", "bytes", "size"),
                gauge("used_bytes", "bytes", "used space"),
                gauge("used_percent", "%", "used space, of the size", Type.DOUBLE),
            ),
        ),
        Metric(
            prefix="guest_user",
            help="The users who are logged in to the guest",
            fields=(
                gauge("count", "", "number of users", Type.UINT),
                text("names", "their names, separated by commas; only with the option users"),
            ),
        ),
        Metric(
            prefix="guest_os",
            help="The guest's operating system",
            fields=(
                text("hostname", "host name"),
                text("id", "short name of the system, such as debian"),
                text("name", "name of the system"),
                text("pretty_name", "name with the version"),
                text("version", "version as text"),
                text("version_id", "version as number"),
                text("variant", "variant, such as Server"),
                text("variant_id", "short name of the variant"),
                text("kernel_release", "release of the kernel"),
                text("kernel_version", "version of the kernel"),
                text("machine", "hardware name, such as x86_64"),
                text("timezone", "name of the time zone"),
                gauge("timezone_offset_s", "s", "offset from UTC", Type.INT),
            ),
        ),
        Metric(
            prefix="guest_load",
            help="The load of the guest: processes that run or wait; libvirt 11.2, QEMU 10.0",
            fields=(
                gauge("load1", "", "average of the last minute", Type.DOUBLE),
                gauge("load5", "", "average of the last 5 minutes", Type.DOUBLE),
                gauge("load15", "", "average of the last 15 minutes", Type.DOUBLE),
            ),
        ),
        Metric(
            prefix="guest_interface",
            extra_tags=("interface",),
            help="One network interface of the guest, by its name in the guest",
            fields=(
                text("mac", "MAC address"),
                text("addresses", "IP addresses with prefixes, separated by commas"),
            ),
        ),
    ),
)
