"""libvirt's errors, sorted: the consequence of each for the connection, and advice.

Invariant: the kind of an error of libvirt's follows from its code and its domain, here and nowhere
else, except for failed connection attempts, whose words say more: see :mod:`.refusals`. The numbers
are libvirt's virErrorNumber and virErrorDomain; this module does not import libvirt. No user name
and no path of the URI, and not the user's home, is in what :func:`discreet` returns.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from traceback import extract_tb
from typing import Optional

from ..uri import SSH, driver_and_transport, parameters, redact_uri, user_name, with_home


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


@dataclass(eq=False)
class LibvirtError(Exception):
    """An error of libvirt: code, domain, message, and the system's errno, or 0. One of this program
    has the code 0 and the domain 0.

    ``known`` is the consequence and ``help`` the advice, if they do not follow from the code.
    """

    code: int
    domain: int
    message: str
    errno: int = 0
    known: Optional[ErrorKind] = None
    help: str = ""

    def __str__(self) -> str:
        return self.message

    @property
    def kind(self) -> ErrorKind:
        if self.known is not None:
            return self.known
        # These two are ambiguous; from the RPC layer they concern the connection.
        if self.code in (_INTERNAL_ERROR, _SYSTEM_ERROR):
            return ErrorKind.LOST if self.domain == _FROM_RPC else ErrorKind.FAILED
        return _BY_CODE.get(self.code, ErrorKind.FAILED)


@dataclass(eq=False)
class Unreachable(Exception):
    """There are no statistics. ``state`` names the kind of trouble and what helps, so that
    a change of it is logged once; ``help`` is advice for the user, or empty."""

    state: str
    reason: str
    help: str = ""

    def __str__(self) -> str:
        return f"{self.reason}; {self.help}" if self.help else self.reason

    @classmethod
    def by(cls, error: LibvirtError, uri: str) -> Unreachable:
        """The trouble that an error of libvirt's causes."""
        kind = error.kind
        name = kind.name if kind is not ErrorKind.FAILED else f"error {error.code}"
        help = advice(error, uri)
        return cls(f"{name} {help}", error.message, help)


def message_of(error: BaseException) -> Optional[str]:
    """The message of an error of libvirt's that is not UTF-8: libvirt-python raises ``error``
    instead, in the constructor of its own or before. None if ``error`` is something else."""
    cause = error.__cause__ if isinstance(error, SystemError) else error
    raised_in = extract_tb(error.__traceback__)[-1].name
    if isinstance(cause, UnicodeDecodeError) and (cause is not error or raised_in == "__init__"):
        return readable(cause)
    return None


def readable(error: UnicodeDecodeError) -> str:
    r"""The text that is not UTF-8, with the number of each byte that does not fit: ``\xff``."""
    return bytes(error.object).decode("utf-8", "backslashreplace")


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

#: The lines that name the problem, in ssh's messages of several lines.
_TELLING = re.compile(
    r"REVOKED HOST KEY|IDENTIFICATION HAS CHANGED|Host key verification failed"
    r"|Load key|Identity file|Permission denied \(|Too many authentication|: not found"
    r"|[Cc]onnection (refused|reset|timed out|closed)"
)
_LONGEST = 600

#: The user name that ssh writes before its reason.
_LOGIN = re.compile(r"[\w.+-]+@(?=[\w.:\[\]-]+: )")


def one_line(message: str, reasons: Iterable[str] = ()) -> str:
    """The message as one line, with libvirt's ``reasons`` that it does not have."""
    message = _telling(message)
    for reason in dict.fromkeys(reasons):
        if reason not in message:
            message += f": {reason}"
    return message


def discreet(message: str, uri: str) -> str:
    """The message without user names, and with a parameter's name in place of its path; cut after
    600 characters."""
    message = message.replace(uri, redact_uri(uri))
    if user := user_name(uri):
        for written in (user, user.replace("\\", "\\\\")):
            message = message.replace(f"{written}@", "")
    message = _LOGIN.sub("", message)
    for name, value in parameters(uri).items():
        if "/" in value and name != "socket":
            message = message.replace(with_home(value), name).replace(value, name)
    home = os.environ.get("HOME", "").rstrip("/")
    if home:
        message = re.sub(rf"(?<![\w/.-]){re.escape(home)}(?=/)", "~", message)
    return message[:_LONGEST]


def _telling(message: str) -> str:
    """The lines that name the problem, or else the last line, as one line."""
    lines = [line.strip("@* \t\r") for line in message.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) < 2:
        return message.strip()
    beginning = lines[0].partition(": ")[0].rstrip(":")
    lines[0] = lines[0].partition(": ")[2]
    telling = [line for line in lines if _TELLING.search(line)] or lines[-1:]
    return f"{beginning}: {', '.join(telling)}"
