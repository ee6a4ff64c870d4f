"""Libvirt URIs: split them, remove credentials, find passwords.

Invariant: no piece of the user part or of the parameters of a URI is shown, whatever its
characters. Where it is not certain what is the user part, only the scheme is shown. The time for
this grows linearly with the text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Optional
from urllib.parse import unquote

#: Stands for what is not shown.
HIDDEN = "…"

#: The longest text that is searched for secrets.
LONGEST_TEXT = 4000

#: An apostrophe is a part of a URI, unless it may be the end of a quotation.
_IN_MESSAGE = re.compile(r"://((?:[^\s'\"]|'(?![\s:,.;)]|$))*)")
_PUNCTUATION = "):,.;"
_SCHEME = re.compile(r"[a-z][a-z0-9.-]*(\+[a-z0-9]+)?", re.IGNORECASE)
_ALIASES = re.compile(
    r"^\s*uri_aliases\s*=\s*\[((?:[\s,]|#[^\n]*|\"[^\"]*\"|'[^']*')*)\]", re.MULTILINE
)
_NAME = re.compile(r"[\w.-]+")

#: A host and its port, if that is a number.
_HOST = re.compile(r"(\[[\w:.%]*\]|[^\[\]:\s]*)(:\d*)?")

#: Names of parameters that libvirt knows.
PARAMETERS = (
    *("auth", "auto_answer", "cacert", "command", "keyfile", "known_hosts", "known_hosts_verify"),
    *("mode", "name", "netcat", "no_tty", "no_verify", "pkipath", "proxy", "root", "socket"),
    *("sshauth", "tls_priority", "transport", "vcenter"),
)
_FIRST_PARAMETER = re.compile(rf"\?({'|'.join(PARAMETERS)})=", re.IGNORECASE)
_SECRET = re.compile("(^|[&;])[^=&;]*(pass|secret|token)[^=&;]*=", re.IGNORECASE)


def _address(rest: str, is_file: bool = False) -> Optional[str]:
    """Host, port and path of what follows ``://``; None if that is not certain, because the user
    part may be longer than the authority. ``is_file``: the path of a local URI may be any."""
    address = re.split("[?#]", rest, maxsplit=1)[0]
    authority, slash, path = address.partition("/")
    host = authority.rpartition("@")[2]
    query = rest[len(address) :]
    if not _HOST.fullmatch(host) or ("@" in path and not (is_file and not authority)):
        return None
    if "@" in query and not _FIRST_PARAMETER.match(query):
        return None
    return host + slash + path


def redact_uri(uri: str) -> str:
    """Return the URI, or the name of an alias, without user part and parameters."""
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri if _NAME.fullmatch(uri) else HIDDEN
    if not _SCHEME.fullmatch(scheme):
        return HIDDEN
    return scheme + mark + (_address(rest, scheme == "test") or "")


def redact(text: str) -> str:
    """Return the text without user parts and parameters of the URIs in it, also of unknown ones. In
    those, a blank or a quotation mark ends the URI."""
    return _IN_MESSAGE.sub(_without_secrets, text)


def _without_secrets(found: re.Match[str]) -> str:
    text = found[1]
    # Punctuation may belong to the parameters.
    uri = text if "?" in text or "#" in text else text.rstrip(_PUNCTUATION)
    is_file = found.string.endswith("test", 0, found.start())
    return f"://{_address(uri, is_file) or ''}{text[len(uri) :]}"


def cut(text: str, length: int) -> str:
    """The beginning of a text, without a URI that may be incomplete."""
    if len(text) <= length:
        return text
    text = text[: length - 1]
    begin = text.rfind("://")
    if begin >= 0 and not re.search(r"\s", text[begin:]):
        text = text[: begin + 3]
    return text + HIDDEN


def has_scheme(uri: str) -> bool:
    """Whether it begins as a URI does, and is no name of an alias."""
    scheme, mark, _ = uri.partition("://")
    return bool(mark) and _SCHEME.fullmatch(scheme) is not None


def aliases() -> dict[str, str]:
    """The URI of each alias that libvirt's configuration of this user has."""
    folder = Path("/etc")
    if os.geteuid() != 0:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or with_home("~/.config"))
    try:
        text = Path(folder, "libvirt/libvirt.conf").read_text("utf-8", "replace")
    except OSError:
        return {}
    found = _ALIASES.search(text)
    items = re.findall(r"#[^\n]*|[\"']([^\"'=]*)=([^\"']*)[\"']", found[1] if found else "")
    return {name: uri for name, uri in items if name}


def has_password(uri: str) -> bool:
    """Whether the URI contains a password, in its user part or in its query."""
    user, query = secrets(uri)
    return ":" in user or _SECRET.search(query) is not None


def secrets(uri: str) -> tuple[str, str]:
    """The user part and the query of a URI; if they are not certain, all that may belong to
    them."""
    scheme, _, rest = uri.partition("://")
    address = re.split("[?#]", rest, maxsplit=1)[0]
    query = rest[len(address) + 1 :]
    if _address(rest, scheme == "test") is not None:
        return address.partition("/")[0].rpartition("@")[0], query
    return rest.rpartition("@")[0] or rest, query


def driver_and_transport(uri: str) -> tuple[str, str]:
    """Split the scheme: ``qemu+ssh://…`` gives ("qemu", "ssh"); without a transport it is ""."""
    scheme = uri.partition("://")[0]
    driver, _, transport = scheme.partition("+")
    return driver, transport.lower()


#: The transports by ssh.
SSH = frozenset(("ssh", "libssh", "libssh2"))

#: The transport of an alias of libvirt.conf, which libvirt alone knows.
ALIAS = "alias"


def transport(uri: str) -> str:
    """The transport, such as "ssh"; "" if there is none, and ALIAS for an alias."""
    return driver_and_transport(uri)[1] if "://" in uri else ALIAS


def is_remote(uri: str) -> bool:
    """Whether it may lead to another host."""
    return bool(_authority(uri)) or transport(uri) not in ("", "unix")


def user_name(uri: str) -> str:
    """The user name of the URI, without a password; empty if there is none."""
    return unquote(_authority(uri).rpartition("@")[0].partition(":")[0])


def _authority(uri: str) -> str:
    return re.split("[/?#]", uri.partition("://")[2])[0]


def parameters(uri: str) -> dict[str, str]:
    """The parameters behind the ``?``, by their names in lower case; the first of a name counts."""
    query = uri.partition("#")[0].partition("?")[2]
    found: dict[str, str] = {}
    for part in re.split("[&;]", query):
        name, _, value = part.partition("=")
        if name:
            found.setdefault(unquote(name).lower(), unquote(value, errors="surrogateescape"))
    return found


def with_home(path: str) -> str:
    """The path with the user's home for a tilde, as ssh has it."""
    # Path.expanduser() raises an error without a home.
    return os.path.expanduser(path) if path.startswith("~/") else path  # noqa: PTH111


def with_parameter(uri: str, name: str, value: str, without: str) -> str:
    """The URI with one more parameter, whose value must be quoted, and without the parameters of
    the name ``without``."""
    address, mark, fragment = uri.partition("#")
    address, _, query = address.partition("?")
    parts = [
        part
        for part in re.split("[&;]", query)
        if part and unquote(part.partition("=")[0]).lower() != without
    ]
    return f"{address}?{'&'.join([*parts, f'{name}={value}'])}{mark}{fragment}"


#: Authentication methods of ``sshauth``, and their names in ssh's configuration.
SSH_METHODS = {
    "agent": "publickey",
    "privkey": "publickey",
    "password": "password",
    "keyboard-interactive": "keyboard-interactive",
}

#: Those that need an answer, which nobody gives.
_ASKING = frozenset(("password", "keyboard-interactive"))

#: Values of ``known_hosts_verify``, and what ssh calls them.
SSH_VERIFY = {"normal": "yes", "auto": "accept-new", "ignore": "no"}


def unknown_values(uri: str) -> Iterator[tuple[str, str]]:
    """The parameters with a wrong value, and the allowed values of each."""
    given = parameters(uri)
    methods = ssh_methods(given)
    if transport(uri) in SSH and methods and _ASKING.issuperset(methods):
        silent = " or ".join(method for method in SSH_METHODS if method not in _ASKING)
        yield "sshauth", silent
    if transport(uri) == "ssh":
        if not SSH_METHODS.keys() >= set(methods):
            yield "sshauth", ", ".join(SSH_METHODS)
        verify = given.get("known_hosts_verify", "normal")
        if verify not in SSH_VERIFY:
            yield "known_hosts_verify", ", ".join(SSH_VERIFY)


def ssh_methods(given: dict[str, str]) -> list[str]:
    """The methods of sshauth."""
    return [method for method in given.get("sshauth", "").lower().split(",") if method]
