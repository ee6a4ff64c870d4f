"""libvirt's errors, sorted: the consequence of each for the connection, and advice.

Invariant: the kind of an error of libvirt's follows from its code and its domain, here and nowhere
else, except for failed connection attempts, whose words say more: see :mod:`.refusals`. The numbers
are libvirt's virErrorNumber and virErrorDomain; this module does not import libvirt.
"""

from __future__ import annotations

import errno
import re
from enum import Enum
from typing import Optional

from ..uri import SSH, driver_and_transport


class ErrorKind(Enum):
    """The consequence of an error."""

    LOST = "the connection is dead or could not be made: connect again"
    DENIED = "access was refused: connect again, slowly"
    WRONG_URI = "the URI cannot work: connect again, slowly"
    UNSUPPORTED = "the driver does not have it: do without it"
    GONE = "the domain is gone or does not run: leave it out"
    BUSY = "the domain is busy: leave it out this time"
    TOO_LARGE = "the answer is larger than libvirt lets through: ask for less at once"
    FAILED = "the call failed: try again next time"


#: libvirt's number for "the driver does not have this call".
NO_SUPPORT = 3

_FROM_RPC = 7

_BY_CODE = {
    NO_SUPPORT: ErrorKind.UNSUPPORTED,
    5: ErrorKind.WRONG_URI,  # NO_CONNECT
    6: ErrorKind.LOST,  # INVALID_CONN
    8: ErrorKind.UNSUPPORTED,  # INVALID_ARG, the answer to a flag that is not known
    9: ErrorKind.BUSY,  # OPERATION_FAILED
    29: ErrorKind.DENIED,  # OPERATION_DENIED
    39: ErrorKind.TOO_LARGE,  # RPC
    42: ErrorKind.GONE,  # NO_DOMAIN
    45: ErrorKind.DENIED,  # AUTH_FAILED
    55: ErrorKind.GONE,  # OPERATION_INVALID
    68: ErrorKind.BUSY,  # OPERATION_TIMEOUT
    74: ErrorKind.UNSUPPORTED,  # ARGUMENT_UNSUPPORTED
    79: ErrorKind.DENIED,  # AUTH_CANCELLED
    84: ErrorKind.UNSUPPORTED,  # OPERATION_UNSUPPORTED
    88: ErrorKind.DENIED,  # ACCESS_DENIED
    94: ErrorKind.DENIED,  # AUTH_UNAVAILABLE
}
_INTERNAL_ERROR, _SYSTEM_ERROR = 1, 38


class LibvirtError(Exception):
    """An error of libvirt: code, domain, message, and the system's errno, or 0. One of this program
    has the code 0 and the domain 0.

    ``known`` is the consequence and ``help`` the advice, if they do not follow from the code.
    """

    def __init__(
        self,
        code: int,
        domain: int,
        message: str,
        number: int = 0,
        known: Optional[ErrorKind] = None,
        help: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.domain = domain
        self.message = message
        self.errno = number
        self.known = known
        self.help = help

    @property
    def kind(self) -> ErrorKind:
        if self.known is not None:
            return self.known
        # These two are ambiguous; from the RPC layer they concern the connection.
        if self.code in (_INTERNAL_ERROR, _SYSTEM_ERROR):
            return ErrorKind.LOST if self.domain == _FROM_RPC else ErrorKind.FAILED
        return _BY_CODE.get(self.code, ErrorKind.FAILED)


class Unreachable(Exception):
    """There are no statistics. ``state`` names the kind of trouble and what helps, so that
    a change of it is logged once; ``help`` is advice for the user, or empty."""

    def __init__(self, state: str, reason: str, help: str = "") -> None:
        super().__init__(f"{reason}; {help}" if help else reason)
        self.state = state
        self.reason = reason
        self.help = help

    @classmethod
    def by(cls, error: LibvirtError, uri: str) -> Unreachable:
        """The trouble that an error of libvirt's causes."""
        kind = error.kind
        name = kind.name if kind is not ErrorKind.FAILED else f"error {error.code}"
        help = advice(error, uri)
        return cls(f"{name} {help}", error.message, help)


def advice(error: LibvirtError, uri: str) -> str:
    """What a user can do about an error; empty if unknown."""
    if error.help:
        return error.help
    driver, transport = driver_and_transport(uri)
    local = transport in ("", "unix")
    # A daemon refuses access, not ssh or TLS on the way to it.
    by_daemon = error.code in _DAEMON_REFUSES or _DAEMON_WORDS.search(error.message)
    if error.kind is ErrorKind.DENIED and (local or by_daemon):
        rule = "the polkit action org.libvirt.unix.monitor (a rule in /etc/polkit-1/rules.d"
        if local:
            return f"allow this user {rule})"
        return f"on that host, allow its user {rule} there)"
    missing = local and error.errno in (errno.ENOENT, errno.ECONNREFUSED)
    if error.kind is ErrorKind.WRONG_URI and not local:
        return f"the libvirt of that host knows no driver {driver!r}; check libvirt_uri"
    if error.kind is ErrorKind.WRONG_URI or (missing and driver not in _DRIVERS):
        return f"this libvirt knows no driver {driver!r}; check libvirt_uri"
    if local and error.errno in (errno.EACCES, errno.EPERM):
        return (
            "the read-only socket is usually open to everybody: set SocketMode=0666 in "
            'libvirtd-ro.socket, or without socket activation unix_sock_ro_perms = "0777" in '
            "libvirtd.conf; or add this user to the socket's group (usually libvirt)"
        )
    if missing:
        if "?" in uri or "/session" in uri:
            return "is the daemon of that socket running?"
        modular = _SERVICES.get(driver)
        other = f", or {modular}.socket where each driver has its own" if modular else ""
        return f"is the daemon running? systemctl start libvirtd.socket{other}"
    if transport in SSH and error.kind is ErrorKind.LOST:
        return "does ssh to that host work for this user, without questions?"
    if error.errno == errno.ECONNREFUSED:
        return f"is the daemon of that host listening? systemctl start libvirtd-{transport}.socket"
    if "system bus" in error.message:
        return (
            "libvirt asks polkit by way of D-Bus: start both, or set auth_unix_ro to none in "
            "libvirtd.conf"
        )
    return ""


_DAEMON_REFUSES = (29, 88)  # OPERATION_DENIED, ACCESS_DENIED
_DAEMON_WORDS = re.compile("policy|polkit|authentication unavailable", re.IGNORECASE)

#: The drivers that a daemon can have. libvirt's client asks a daemon for unknown names too.
_DRIVERS = frozenset(("qemu", "xen", "lxc", "ch", "vz", "bhyve", "test", "vbox", "openvz"))

#: The daemons of drivers, where libvirt runs a daemon for each driver.
_SERVICES = {"qemu": "virtqemud", "xen": "virtxend", "lxc": "virtlxcd", "ch": "virtchd"}
