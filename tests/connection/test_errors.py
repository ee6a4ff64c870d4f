"""What libvirt's errors mean, and what helps."""

from __future__ import annotations

import errno

import pytest

from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError, Unreachable, advice
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


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        (
            "qemu:///system",
            LibvirtError(38, 7, "Failed to connect socket", errno.ENOENT),
            ("libvirtd.socket", "virtqemud.socket"),
        ),
        (
            "lxc:///system",
            LibvirtError(38, 7, "Failed to connect socket", errno.ECONNREFUSED),
            ("libvirtd.socket", "virtlxcd.socket"),
        ),
        (
            "qemu+unix:///system?socket=/x",
            LibvirtError(38, 7, "Failed to connect socket", errno.ENOENT),
            ("daemon of that socket",),
        ),
        (
            "qemu:///system",
            LibvirtError(38, 7, "Failed to connect socket", errno.EACCES),
            ("SocketMode", "unix_sock_ro_perms", "group"),
        ),
        (
            "qemu+tls://h/system",
            LibvirtError(38, 7, "unable to connect", errno.ECONNREFUSED),
            ("libvirtd-tls.socket",),
        ),
        (
            "qemu+ssh://h/system",
            LibvirtError(38, 7, "Cannot recv data", errno.ECONNREFUSED),
            ("ssh",),
        ),
        (
            "qemu+tcp://h/system",
            LibvirtError(38, 7, "Unable to resolve address 'h' service '1': Name not known"),
            ("host name",),
        ),
        ("qemu:///system", LibvirtError(45, 60, "access denied by policy"), ("polkit",)),
        ("foo:///x", LibvirtError(5, 0, "no connection driver"), ("driver 'foo'",)),
        (
            "qmeu:///system",
            LibvirtError(38, 7, "Failed to connect socket", errno.ENOENT),
            ("driver 'qmeu'",),
        ),
        ("qemu:///system", LibvirtError(38, 0, "Unable to get system bus"), ("D-Bus",)),
        ("qemu+tls://h/", LibvirtError(38, 7, "Cannot read CA certificate"), ("cacert.pem",)),
    ],
)
def test_advice(uri: str, error: LibvirtError, words: tuple[str, ...]) -> None:
    """Each refusal that users meet comes with what helps."""
    text = advice(refused(error, uri), uri)
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    "error",
    [
        LibvirtError(3, 0, "this function is not supported by the connection driver"),
        LibvirtError(45, 50, "authentication failed: some words of libssh2"),
        LibvirtError(38, 10, "a call failed"),
    ],
)
def test_no_advice_about_ssh_for_other_errors(error: LibvirtError) -> None:
    """Whether ssh works is a question only if the connection is lost; polkit is the reason only if
    the far daemon refuses."""
    assert advice(error, "qemu+ssh://h/system") == ""


@pytest.mark.parametrize(
    "error",
    [
        LibvirtError(45, 60, "authentication failed: access denied by policy"),
        LibvirtError(45, 60, "authentication failed: polkit\\56retains"),
        LibvirtError(94, 60, "authentication unavailable: no polkit agent available"),
        LibvirtError(88, 0, "access denied"),
        LibvirtError(29, 0, "operation forbidden"),
    ],
)
def test_a_far_daemon_that_refuses(error: LibvirtError) -> None:
    """The advice is about polkit of that host."""
    assert "on that host, allow its user" in advice(error, "qemu+ssh://h/system")


def test_no_advice_where_none_is_known() -> None:
    """Nothing is made up."""
    assert advice(LibvirtError(1, 0, "internal error"), "qemu:///system") == ""


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
    first, second, third = (Unreachable.by(error, uri).state for error in errors)
    assert first != second and second == third
