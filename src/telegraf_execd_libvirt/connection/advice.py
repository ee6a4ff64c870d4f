"""Advice: what a user can do about an error of libvirt's.

Invariant: the words fit the URI: nothing about the sockets, services and users of this host for a
daemon that may be on another one.
"""

from __future__ import annotations

import errno
import os
import re

from ..uri import (
    ALIAS,
    SSH,
    driver_and_transport,
    is_remote,
    parameters,
    redact_uri,
    transport,
    user_name,
)
from .errors import ErrorKind, LibvirtError, Unreachable


def unreachable(error: LibvirtError, uri: str) -> Unreachable:
    """The trouble that an error of libvirt's causes."""
    kind = error.kind
    name = kind.name if kind is not ErrorKind.FAILED else f"error {error.code}"
    help = advice(error, uri)
    return Unreachable(f"{name} {help}", error.message, help)


def advice(error: LibvirtError, uri: str) -> str:
    """What a user can do about an error; empty if unknown."""
    help = error.help or _help(error, uri)
    own = own_daemon(uri) if error.kind is ErrorKind.LOST else ""
    return f"{help}; {own}" if help and own else help or own


def _help(error: LibvirtError, uri: str) -> str:
    driver, local = driver_and_transport(uri)[0], not is_remote(uri)
    there = "" if local else "on that host, "
    # A daemon refuses access, not ssh or TLS on the way to it.
    by_daemon = error.code in _DAEMON_REFUSES or _DAEMON_WORDS.search(error.message)
    if error.kind is ErrorKind.DENIED and (local or by_daemon):
        user, rules = ("this user", "") if local else ("its user", " there")
        action = error.action or "org.libvirt.unix.monitor"
        rule = f"the polkit action {action} (a rule in /etc/polkit-1/rules.d{rules})"
        return f"{there}allow {user} {rule}"
    no_socket = "Failed to connect socket" in error.message
    if error.kind is ErrorKind.WRONG_URI or (no_socket and local and driver not in _DRIVERS):
        if transport(uri) == ALIAS:
            return "check libvirt_uri, and the URI of this alias in libvirt.conf"
        libvirt = "this libvirt" if local else "the libvirt of that host"
        return f"{libvirt} knows no driver {driver!r}; check libvirt_uri"
    if no_socket:
        return there + _socket_help(error, uri)
    if transport(uri) in SSH and error.kind is ErrorKind.LOST:
        return "does ssh to that host work for this user, without questions?"
    if error.errno == errno.ECONNREFUSED and not local:
        way = "tcp" if transport(uri) == "tcp" else "tls"
        units = f"libvirtd-{way}.socket, or virtproxyd-{way}.socket{_EACH}"
        return f"is the daemon of that host listening? systemctl start {units}"
    if "system bus" in error.message:
        return (
            "libvirt asks polkit by way of D-Bus: start both, or set auth_unix_ro to none in "
            "libvirtd.conf"
        )
    return _AGENT_HELP.get(error.code) or _cgroup_help(error.message)


def _cgroup_help(message: str) -> str:
    """Advice about limits that libvirt keeps in cgroups."""
    if "not available in session mode" in message:
        return "only the daemon of the system has it, such as qemu:///system"
    found = _CONTROLLER.search(message)
    if found is None or found[1] == "CPUACCT":  # that one is not in cgroup v2
        return ""
    return (
        f"does the host of the daemon have the cgroup controller {found[1].lower()}, and does "
        "cgroup_controllers in qemu.conf not leave it out?"
    )


def _socket_help(error: LibvirtError, uri: str) -> str:
    found = _SOCKET.search(error.message)
    if error.errno in (errno.EACCES, errno.EPERM):
        daemon = found[1] if found and found[1] != "libvirt" else "libvirtd"
        return (
            "the read-only socket is usually open to everybody: set SocketMode=0666 in "
            f'{daemon}-ro.socket, or without socket activation unix_sock_ro_perms = "0777" in '
            f"{daemon}.conf; or add the user to the socket's group (usually libvirt)"
        )
    if found is None and ("socket" in parameters(uri) or own_daemon(uri)):
        return "is the daemon of that socket running?"
    return f"is the daemon running? {start_daemon(error.message, uri)}"


def start_daemon(message: str, uri: str) -> str:
    """The command that starts the daemon whose socket is in the message; without one, that of the
    driver."""
    found = _SOCKET.search(message)
    kind = f"{found[2] or ''}{found[3] or ''}" if found else ""
    if found and found[1] != "libvirt":
        return f"systemctl start {found[1]}{kind}.socket"
    modular = _SERVICES.get(driver_and_transport(uri)[0], "virtproxyd")
    if parameters(uri).get("mode") == "legacy":
        modular = "virtproxyd"
    return f"systemctl start libvirtd{kind}.socket, or {modular}{kind}.socket{_EACH}"


def own_daemon(uri: str) -> str:
    """What users of a ``/session`` URI need to know; empty if the URI leads to the system's
    daemon, as it does for root."""
    way = transport(uri)
    local, by_ssh = not is_remote(uri), way in SSH
    user = (by_ssh and user_name(uri)) or ("root" if os.geteuid() == 0 else "")
    shown = redact_uri(uri)
    if not shown.endswith("/session") or user == "root" or not (local or by_ssh):
        return ""
    whose = "this" if local else "that"
    system = f"{shown[: -len('session')]}system"
    return f"{shown} is {whose} user's own daemon, with no guests of the system, which {system} has"


_AGENT_HELP = {
    86: "does qemu-guest-agent run in the guest, and does no backup keep it frozen?",
    97: "restart qemu-guest-agent in the guest",
}

_CONTROLLER = re.compile(r"cgroup (\w+) controller is not mounted")

_DAEMON_REFUSES = (29, 88)  # OPERATION_DENIED, ACCESS_DENIED
_DAEMON_WORDS = re.compile("policy|polkit|authentication unavailable", re.IGNORECASE)

#: The drivers that a daemon can have. libvirt's client asks a daemon for unknown names too.
_DRIVERS = frozenset(("qemu", "xen", "lxc", "ch", "vz", "bhyve", "test", "vbox", "openvz"))

#: The daemons of drivers, where libvirt runs a daemon for each driver; without one, virtproxyd
#: listens at the sockets of libvirtd.
_SERVICES = {"qemu": "virtqemud", "xen": "virtxend", "lxc": "virtlxcd", "ch": "virtchd"}
_EACH = " where each driver has its own"

#: A socket of one of the system's daemons: the daemon, and the kind of socket in two parts. The
#: unit of systemd has the same name.
_SOCKET = re.compile(
    r"(?<![\w.-])(?:/usr/local)?(?:/var)?/run/libvirt/"
    r"(libvirt|virt[a-z]+d)(-admin)?-sock(-ro)?(?![\w.-])"
)
