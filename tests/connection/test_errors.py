"""What libvirt's errors mean, and what helps."""

from __future__ import annotations

import errno
import re
from itertools import product
from typing import Any

import pytest

from telegraf_execd_libvirt.connection.advice import advice, own_daemon, start_daemon, unreachable
from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError
from telegraf_execd_libvirt.connection.refusals import refused


@pytest.mark.parametrize(
    ("code", "domain", "meaning"),
    [
        (38, 7, ErrorKind.LOST),
        (38, 10, ErrorKind.FAILED),  # a QEMU that died under a call
        (1, 7, ErrorKind.LOST),
        (1, 10, ErrorKind.FAILED),
        (6, 20, ErrorKind.LOST),
        (39, 7, ErrorKind.TOO_LARGE),
        (5, 0, ErrorKind.WRONG_URI),
        *((code, 0, ErrorKind.DENIED) for code in (45, 79, 88, 94, 29)),
        *((code, 10, ErrorKind.UNSUPPORTED) for code in (3, 8, 74, 84)),
        *((code, 10, ErrorKind.GONE) for code in (42, 55)),
        *((code, 10, ErrorKind.BUSY) for code in (68, 9)),
        (12345, 0, ErrorKind.FAILED),
        (0, 0, ErrorKind.FAILED),
    ],
)
def test_meanings(code: int, domain: int, meaning: ErrorKind) -> None:
    """Each error is looked up by its code, and where that is not enough by its domain."""
    assert LibvirtError(code, domain, "text").kind is meaning


@pytest.fixture(autouse=True)
def _unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service's user: root's session is the system's daemon."""
    monkeypatch.setattr("os.geteuid", lambda: 990)


SYSTEM, SSH = "qemu:///system", "qemu+ssh://h/system"
NO_SOCKET = "Failed to connect socket"
REFUSED = "Failed to connect socket to '/run/x': Connection refused"
NO_HOME = "Cannot create user runtime directory '/.cache/libvirt': no"
SESSION_MODE = "CPU tuning is not available in session mode"
AT_HOST = "on that host, allow its user"


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        (SYSTEM, (38, 7, NO_SOCKET, errno.ENOENT), "libvirtd.socket, or virtqemud.socket"),
        ("lxc:///system", (38, 7, NO_SOCKET, 111), "libvirtd.socket, or virtlxcd.socket"),
        (SYSTEM, (38, 7, NO_SOCKET, errno.EACCES), "SocketMode|unix_sock_ro_perms|group"),
        ("foo:///x", (5, 0, "no connection driver"), "driver 'foo'"),
        ("qmeu:///system", (38, 7, NO_SOCKET, errno.ENOENT), "driver 'qmeu'"),
        (SYSTEM, (86, 10, "not responding"), "does qemu-guest-agent run"),
        (SYSTEM, (97, 10, "out of sync"), "restart qemu-guest-agent"),
        ("qemu:///session", (84, 10, SESSION_MODE), "only the daemon of the system|" + SYSTEM),
        (
            *(SYSTEM, (55, 10, "cgroup memory controller is not mounted")),
            "the cgroup controller memory,|qemu.conf",
        ),
        ("kvm2", (5, 0, "no connection driver for foo:///x"), "URI of this alias"),
        ("kvm2", (38, 7, REFUSED, 111), "on that host|is the daemon running"),
        ("qemu://h/system", (38, 7, "unable to connect", 111), "libvirtd-tls.socket"),
        ("qemu://h/system", (88, 0, "access denied"), AT_HOST),
        ("qemu:///session", (38, 7, NO_HOME, 13), f"HOME or XDG_RUNTIME_DIR|which {SYSTEM} has"),
        ("qemu:///session", (1, 7, "no words"), "this user's own|no guests of"),
        ("qemu+ssh://m@h/session", (38, 7, "no words"), "that user's own daemon"),
        ("test+unix:///default", (38, 7, NO_HOME, 13), "HOME or XDG_RUNTIME_DIR"),
        # A far daemon that refuses: the advice is about polkit of that host.
        (SSH, (45, 60, "authentication failed: access denied by policy"), AT_HOST),
        (SSH, (45, 60, r"authentication failed: polkit\56retains"), AT_HOST),
        (SSH, (94, 60, "authentication unavailable: no polkit agent available"), AT_HOST),
        (SSH, (88, 0, "access denied"), AT_HOST),
        (SSH, (29, 0, "operation forbidden"), AT_HOST),
        # Whether ssh works is a question only if the connection is lost; polkit is the reason only
        # if the far daemon refuses. Nothing is made up.
        (SSH, (3, 0, "this function is not supported by the connection driver"), ""),
        (SSH, (45, 50, "authentication failed: some words of libssh2"), ""),
        (SSH, (38, 10, "a call failed"), ""),
        (SYSTEM, (1, 0, "internal error"), ""),
    ],
)
def test_advice(uri: str, error: tuple[Any, ...], words: str) -> None:
    """Each refusal that users meet comes with what helps; more are in test_refusals.py."""
    text = advice(refused(LibvirtError(*error), uri), uri)
    assert all(word in text for word in words.split("|")), text
    assert bool(text) == bool(words)


@pytest.mark.parametrize(
    "uri",
    [
        *("kvm2", "qemu://h/system", "xen://root@[::1]:1/system", "QEMU+SSH://h/system"),
        *("qemu+libssh2://h/session", "test+tcp://h/default?mode=direct"),
        *("qemu+tls://h/system?socket=/x", "qemu+ext:///system?command=/x"),
    ],
)
def test_nothing_about_this_host_for_another_one(uri: str) -> None:
    """A daemon that may be elsewhere is never looked for here."""
    messages = "", "Failed to connect socket to '/run/libvirt/libvirt-sock-ro'"
    numbers = 0, errno.EACCES, errno.ENOENT, errno.ECONNREFUSED
    here = re.compile("is the daemon (running|of that socket)|the read-only|allow|this libvirt")
    for code, number, message in product((38, 5, 45, 88, 29), numbers, messages):
        text = advice(refused(LibvirtError(code, 7, message, number), uri), uri)
        assert here.match(text) is None, text


@pytest.mark.parametrize(
    ("socket", "units"),
    [
        ("/var/run/libvirt/virtstoraged-sock-ro", "virtstoraged-ro.socket"),
        ("/run/libvirt/virtnetworkd-sock", "virtnetworkd.socket"),
        ("/var/run/libvirt/virtnodedevd-admin-sock", "virtnodedevd-admin.socket"),
        ("/usr/local/var/run/libvirt/virtqemud-sock-ro", "virtqemud-ro.socket"),
        ("/run/libvirt/virtproxyd-sock", "virtproxyd.socket"),
        ("/run/libvirt/libvirt-sock-ro", "libvirtd-ro.socket, or virtqemud-ro.socket where"),
        ("/run/libvirt/libvirt-admin-sock", "libvirtd-admin.socket, or virtqemud-admin.socket "),
    ],
)
@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+ssh://h/system", "qemu+tls://h/system"])
def test_the_unit_of_a_socket(uri: str, socket: str, units: str) -> None:
    """The unit of systemd has the name of the socket, whichever of libvirt's daemons misses it: the
    one that is asked, one behind it, or one that ssh's helper connects to."""
    message = f"Failed to connect socket to '{socket}': No such file or directory"
    start = f"systemctl start {units}"
    texts = [advice(LibvirtError(38, 7, message), uri)]
    if "ssh" in uri:
        helper = f"End of file while reading data: virt-ssh-helper: cannot connect: {message}"
        texts.append(advice(refused(LibvirtError(38, 7, helper), uri), uri))
        assert texts[1].startswith("ssh works")
    for text in texts:
        assert start in text and ("that host" in text) == ("//h" in uri)


def test_a_socket_that_is_not_the_systems() -> None:
    """A socket elsewhere has no unit; behind ?mode=legacy may be virtproxyd."""
    for socket in ("/tmp/run/libvirt/virtqemud-sock-ro", "/run/user/9/libvirt/virtqemud-sock"):
        message = f"Failed to connect socket to '{socket}': No such file or directory"
        error = LibvirtError(38, 7, message, errno.ENOENT)
        text = advice(error, f"qemu+unix:///system?socket={socket}")
        assert text == "is the daemon of that socket running?"
    assert "or virtproxyd.socket" in start_daemon("", "qemu:///system?mode=legacy")


def test_a_users_own_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URIs that lead to one: not those of root, and not those of a daemon that listens."""
    own = ("qemu:///session", "vbox:///session?x=1", "qemu+ssh://h/session", "qemu+unix:///session")
    others = ("qemu:///system", "qemu+ssh://root@h/session", "qemu+tls://h/session", "x", "x://h")
    assert [uri for uri in (*own, *others) if own_daemon(uri)] == [*own]
    assert own_daemon("qemu+ssh://m:pw@h/session?keyfile=/k").startswith("qemu+ssh://h/session is")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert not own_daemon("qemu:///session") and own_daemon("qemu+ssh://m@h/session")


def test_another_reason_is_another_state() -> None:
    """Each reason with an advice of its own is told, not only the first of its kind; the same
    trouble in other words is not."""
    uri = "qemu+ssh://h/system"
    messages = (
        "Cannot recv data: Host key verification failed.",
        "Cannot recv data: h: Permission denied (publickey).",
        "Cannot recv data: h: Permission denied (publickey,password).",
    )
    errors = [refused(LibvirtError(38, 7, message), uri) for message in messages]
    first, second, third = (unreachable(error, uri).state for error in errors)
    assert first != second and second == third
