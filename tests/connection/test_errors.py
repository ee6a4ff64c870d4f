"""What libvirt's errors mean, and what helps."""

from __future__ import annotations

import errno
import re
from itertools import product

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


NO_ALIAS = "available for URI 'kvm2' does not include a driver name"
NO_UNIX_HOST = "invalid argument: using unix socket and remote server 'h' is not supported."
REFUSED = LibvirtError(38, 7, "Failed to connect socket to '/run/x': Connection refused", 111)
NO_HOME = LibvirtError(38, 7, "Cannot create user runtime directory '/.cache/libvirt': no", 13)


@pytest.fixture(autouse=True)
def _unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service's user: root's session is the system's daemon."""
    monkeypatch.setattr("os.geteuid", lambda: 990)


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
        ("qemu:///system", LibvirtError(86, 10, "not responding"), ("does qemu-guest-agent run",)),
        ("qemu:///system", LibvirtError(97, 10, "out of sync"), ("restart qemu-guest-agent",)),
        (
            "qemu:///session",
            LibvirtError(84, 10, "CPU tuning is not available in session mode"),
            ("only the daemon of the system", "qemu:///system"),
        ),
        (
            "qemu:///system",
            LibvirtError(55, 10, "cgroup memory controller is not mounted"),
            ("the cgroup controller memory,", "qemu.conf"),
        ),
        ("qemu+tls://h/", LibvirtError(38, 7, "Cannot read CA certificate"), ("cacert.pem",)),
        ("kvm2", LibvirtError(5, 0, f"no connection driver {NO_ALIAS}"), ("uri_aliases",)),
        ("kvm2", LibvirtError(5, 0, "no connection driver for foo:///x"), ("URI of this alias",)),
        ("kvm2", REFUSED, ("on that host", "is the daemon running")),
        (
            "qemu://h/system",
            LibvirtError(38, 7, "unable to connect", 111),
            ("libvirtd-tls.socket",),
        ),
        (
            "qemu://h/system",
            LibvirtError(88, 0, "access denied"),
            ("on that host, allow its user",),
        ),
        ("qemu+unix://h/system", LibvirtError(8, 13, NO_UNIX_HOST), ("take the host out",)),
        ("qemu:///session", NO_HOME, ("HOME or XDG_RUNTIME_DIR", "which qemu:///system has")),
        ("qemu:///session", LibvirtError(1, 7, "no words"), ("this user's own", "no guests of")),
        ("qemu+ssh://m@h/session", LibvirtError(38, 7, "no words"), ("that user's own daemon",)),
        ("test+unix:///default", NO_HOME, ("HOME or XDG_RUNTIME_DIR",)),
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


@pytest.mark.parametrize(
    "uri",
    [
        "kvm2",
        "qemu://h/system",
        "xen://root@[::1]:1/system",
        "QEMU+SSH://h/system",
        "qemu+libssh2://h/session",
        "test+tcp://h/default?mode=direct",
        "qemu+tls://h/system?socket=/x",
        "qemu+ext:///system?command=/x",
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


def test_a_users_own_daemon() -> None:
    """The URIs that lead to one: not those of root, and not those of a daemon that listens."""
    own = ("qemu:///session", "vbox:///session?x=1", "qemu+ssh://h/session", "qemu+unix:///session")
    others = ("qemu:///system", "qemu+ssh://root@h/session", "qemu+tls://h/session", "x", "x://h")
    assert all(own_daemon(uri) for uri in own) and not any(own_daemon(uri) for uri in others)
    assert own_daemon("qemu+ssh://m:pw@h/session?keyfile=/k").startswith("qemu+ssh://h/session is")


def test_roots_session_is_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has no daemon of its own."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert not own_daemon("qemu:///session") and own_daemon("qemu+ssh://m@h/session")


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
    first, second, third = (unreachable(error, uri).state for error in errors)
    assert first != second and second == third
