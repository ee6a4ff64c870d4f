"""libvirt's errors, sorted: the consequence of each for the connection.

Invariant: the kind of an error of libvirt's follows from its code and its domain, here and nowhere
else, except for failed connection attempts, whose words say more: see :mod:`.refusals`. The numbers
are libvirt's virErrorNumber and virErrorDomain; this module does not import libvirt. No piece of
the URI's user part or parameters, and not the user's home, is in what :func:`discreet` returns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from traceback import extract_tb
from typing import Optional

from ..uri import PARAMETERS, parameters, redact_uri, user_name, with_home
from .conceal import conceal


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
    ``action`` is the polkit action that libvirt's access control refused.
    """

    code: int
    domain: int
    message: str
    errno: int = 0
    known: Optional[ErrorKind] = None
    help: str = ""
    action: str = ""

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

    @property
    def is_closed(self) -> bool:
        """Whether libvirt says that a connection was closed, instead of failing to open it."""
        return (self.code, self.domain) == (_INTERNAL_ERROR, _FROM_RPC)


@dataclass(eq=False)
class Unreachable(Exception):
    """There are no statistics. ``state`` names the kind of trouble and what helps, so that
    a change of it is logged once; ``help`` is advice for the user, or empty."""

    state: str
    reason: str
    help: str = ""

    def __str__(self) -> str:
        return f"{self.reason}; {self.help}" if self.help else self.reason


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
    """The message without user names, and without the secrets of its parameters, with a parameter's
    name in place of its path; cut after 600 characters."""
    message = message.replace(uri, redact_uri(uri))
    if user := user_name(uri):
        for written in (user, user.replace("\\", "\\\\")):
            message = message.replace(f"{written}@", "")
    message = _LOGIN.sub("", message)
    for name, value in parameters(uri).items():
        if name in PARAMETERS and len(value.strip("/")) > 2 and "/" in value:
            message = message.replace(with_home(value), name).replace(value, name)
    home = os.environ.get("HOME", "").rstrip("/")
    if home:
        message = re.sub(rf"(?<![\w/.-]){re.escape(home)}(?=/)", "~", message)
    return conceal(message)[:_LONGEST]


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
