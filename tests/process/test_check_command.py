"""--check reports for each hypervisor what works, and advice for what does not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.crowd import Crowd, guest
from support.missing import leave_out
from support.plugin import AT_ONCE, TEST_DRIVER, Plugin, environment, eventually, run, small_pipe
from support.server import GET_ALL_DOMAIN_STATS, Daemon

MISSING = "qemu+unix:///system?socket=/nonexistent"


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that only a process with root's capabilities may enter."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.smoke
def test_what_works() -> None:
    """For a working hypervisor it prints driver, version, domains and groups, with status 0."""
    done = run("--check", "--uri", TEST_DRIVER)
    assert (done.returncode, done.stderr) == (0, "")
    title, reachable, *rest = done.stdout.splitlines(keepends=True)
    assert title == "inputs.libvirt[0]: test:///default\n"
    assert reachable.startswith("  reachable: yes: driver TEST, libvirt ")
    domains, reported, silent = rest
    assert domains == "  domains: 1, of which 1 run\n"
    assert reported.startswith("  reported: state")
    assert silent.startswith("  not reported by any domain now: ") and "perf" in silent


def test_a_password_with_an_apostrophe() -> None:
    """It is neither in the report nor in the log, nor is the user that it belongs to."""
    uri = "esx://root:pa'sswordX@127.0.0.1:1/?no_verify=1&x=/it's/KEY"
    done = run("--check", "--uri", uri)
    assert done.stdout.startswith("inputs.libvirt[0]: esx://127.0.0.1:1/\n")
    log = run("--once", "--uri", uri).stderr
    assert "(esx://127.0.0.1:1/)" in log
    for text in (done.stdout, done.stderr, log):
        assert not any(word in text for word in ("root", "pa'ss", "KEY"))


def test_domains_that_are_not_there(config: Callable[..., Path]) -> None:
    """It lists configured domains that the hypervisor does not have."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\ndomains = ["test", "größe", "b\\nc"]')
    done = run("--check", "--config", path)
    assert "  domains: 1, of which 1 run\n" in done.stdout
    assert "  domains that are not there: b\\nc, größe\n" in done.stdout


def test_additional_statistics_are_among_the_groups(config: Callable[..., Path]) -> None:
    """It lists additional statistics beside the groups."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = ["vcpu_mapping"]')
    done = run("--check", "--config", path)
    assert done.returncode == 0
    assert "vcpu_mapping" in done.stdout


def test_a_missing_socket() -> None:
    """Without the socket it asks whether the daemon runs, with status 1."""
    done = run("--check", "--uri", MISSING)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "inputs.libvirt[0]: qemu+unix:///system",
        "  reachable: no: Failed to connect socket to 'socket': No such file or directory",
        "  what helps: is the daemon of that socket running?",
    ]


def test_a_socket_without_a_daemon(tmp_path: Path) -> None:
    """For a socket without a listener it gives the same advice."""
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(os.fspath(tmp_path / "socket"))
    done = run("--check", "--uri", f"xen+unix:///system?socket={tmp_path}/socket")
    assert done.returncode == 1
    assert "Connection refused" in done.stdout
    assert "  what helps: is the daemon of that socket running?\n" in done.stdout


def test_a_socket_that_may_not_be_used(closed_folder: Path) -> None:
    """If permission is denied, it names the setting and the group that grant it."""
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            leave_out("needs setpriv (Debian package util-linux)")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    done = run("--check", "--uri", f"qemu+unix:///system?socket={closed_folder}/s", prefix=prefix)
    assert done.returncode == 1
    assert "Permission denied" in done.stdout
    assert "  what helps: the read-only socket is usually open to everybody: " in done.stdout
    assert "unix_sock_ro_perms" in done.stdout and "(usually libvirt)" in done.stdout


@pytest.mark.parametrize(
    ("code", "action"),
    [(45, "org.libvirt.unix.monitor"), (88, "org.libvirt.api.connect.search-domains")],
)
def test_access_that_is_refused(daemon: Callable[..., Daemon], code: int, action: str) -> None:
    """If the daemon refuses access, it names the polkit action to allow."""
    done = run("--check", "--uri", daemon(error=(code, 0, "access denied")).uri)
    assert done.returncode == 1
    assert "  reachable: no: access denied\n" in done.stdout
    assert f"allow this user the polkit action {action} " in done.stdout


@pytest.mark.parametrize("taken", [False, True])
def test_no_free_place(
    daemon: Callable[..., Daemon], config: Callable[..., Path], taken: bool
) -> None:
    """A daemon with as many clients as it may have lets others wait: that is a possible reason if
    others have all places, and if a call hangs and no further connection can be made."""
    hypervisor = daemon(most_connections=1, queueing=True)
    hypervisor.unanswered.add(GET_ALL_DOMAIN_STATS)
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "1s"')
    with socket.socket(socket.AF_UNIX) as other:
        if taken:
            other.connect(os.fspath(hypervisor.path))
            assert eventually(lambda: hypervisor.connections == 1)
        done = run("--check", "--config", path)
    assert done.returncode == 1
    reason = "no answer to an attempt to connect" if taken else "the daemon does not answer"
    _, reachable, helps = done.stdout.splitlines()
    assert reachable == f"  reachable: no: {reason} within 1s"
    assert helps.startswith("  what helps: is ") and "no free place for clients (max_cl" in helps


def test_an_unknown_host() -> None:
    """If the host name is unknown, it says so."""
    env = environment(RES_OPTIONS="timeout:1 attempts:1")
    done = run("--check", "--uri", "qemu+tcp://name.invalid/system", env=env)
    assert done.returncode == 1
    assert "nable to resolve address 'name.invalid'" in done.stdout
    assert "  what helps: check the host name in libvirt_uri\n" in done.stdout


def test_a_host_that_does_not_listen() -> None:
    """If nothing listens on the host's port, it names the socket unit to start."""
    done = run("--check", "--uri", "qemu+tcp://127.0.0.1:1/system")
    assert done.returncode == 1
    assert "  what helps: is the daemon of that host listening? systemctl start libvirtd-tcp" in (
        done.stdout
    )


def test_an_unknown_driver(daemon: Callable[..., Daemon]) -> None:
    """If libvirt does not know the driver, it says so."""
    refusing = daemon(error=(5, 0, "no connection driver available for nosuch:///system"))
    done = run("--check", "--uri", refusing.uri.replace("qemu", "nosuch"))
    assert done.returncode == 1
    assert "  reachable: no: no connection driver available for nosuch:///system\n" in done.stdout
    assert "  what helps: this libvirt knows no driver 'nosuch'; check libvirt_uri" in done.stdout


@pytest.mark.parametrize("silent", [True, False])
def test_a_daemon_that_hangs(
    daemon: Callable[..., Daemon], config: Callable[..., Path], silent: bool
) -> None:
    """It reports a daemon that does not answer after the timeout."""
    hypervisor = daemon(silent=silent)
    hypervisor.unanswered.add(GET_ALL_DOMAIN_STATS)
    done = run(
        "--check", "--config", config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "300ms"')
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "  reachable: no: " in done.stdout and " within 0.3s\n" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    number: signal.Signals,
) -> None:
    """SIGTERM and SIGINT end it at once, although the daemon hangs."""
    hypervisor = daemon(silent=True)
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "1m"')
    reader, writer = small_pipe()
    with reader, writer:
        plugin = start("--check", "--config", path, stdout=writer)
        assert eventually(lambda: hypervisor.asked)
        plugin.signal(number)
        assert plugin.wait(AT_ONCE) in (0, 1, 128 + number, -number)
        assert plugin.log.text == ""


def test_all_hypervisors_are_reported(config: Callable[..., Path]) -> None:
    """A hypervisor that fails does not end the report; the status is 1."""
    done = run(
        "--check",
        "--config",
        config(f'libvirt_uri = "{MISSING}"', f'libvirt_uri = "{TEST_DRIVER}"'),
    )
    assert done.returncode == 1
    first, second = done.stdout.split("inputs.libvirt[1]: test:///default\n")
    assert "  reachable: no: " in first and "  reachable: yes: " in second


def test_a_uri_that_libvirt_cannot_take(config: Callable[..., Path]) -> None:
    """It rejects a URI with a NUL character in one line."""
    for option in ("--check", "--once"):
        done = run(option, "--config", config('libvirt_uri = "test:///\\u0000"'))
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 1


def test_names_that_the_terminal_cannot_show(config: Callable[..., Path]) -> None:
    """In a locale without a name's characters the report is complete and has escapes."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\ndomains = ["größe"]')
    done = run("--check", "--config", path, env=environment(PYTHONIOENCODING="ascii"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "  domains that are not there: gr" in done.stdout


BALLOON = "<memballoon model='virtio'><stats period='5'/></memballoon>"
WITHOUT_BALLOON, WITHOUT_NET = (
    tuple(parameter for parameter in Crowd(1).parameters if not re.match(keys, parameter.key))
    for keys in (r"balloon\.(unused|available|usable)", r"net\.1\.")
)


def test_what_guests_lack(daemon: Callable[..., Daemon], config: Callable[..., Path]) -> None:
    """It says which guests lack values and tags though they answer, why, and what helps; nothing of
    guests that lack nothing, are off or do not respond, nor of what is not configured."""
    crowd = Crowd(8)
    mac = "<mac address='52:54:00:00:00:0{}'/>"
    nets = "<interface type='bridge'><target dev='vnet0'/>{}</interface><interface>{}</interface>"
    for number, devices in {
        1: BALLOON + nets.format(mac.format(1), "<target dev='vnet1'/>" + mac.format(2)),
        2: "<memballoon model='virtio'/>",
        3: "<memballoon model='none'/>",
        4: BALLOON,
        5: BALLOON + "<disk type='vhostuser'><target dev='vdb'/></disk><disk type='file'/>",
        6: BALLOON + nets.format("", mac.format(6)),
        7: BALLOON + nets.format("", mac.format(7)).replace("vnet0", "vnet8"),
        8: "<memballoon model='virtio'/>",
    }.items():
        crowd.documents[guest(number)] = f"<domain><devices>{devices}</devices></domain>".encode()
    crowd.special = {guest(4): WITHOUT_BALLOON, guest(6): WITHOUT_NET}
    crowd.off = {guest(8)}
    options = f'libvirt_uri = "{daemon(crowd=crowd).uri}"\n'
    path = config(options + 'additional_device_tags = ["mac"]')
    done = run("--check", "--config", path)
    assert done.returncode == 0
    found = dict(re.findall(r"  (no .*|memory .*): (.*)\n  what helps: .+\n", done.stdout))
    assert found == {
        "memory values of the guest do not change, as <memballoon> has no <stats period>": guest(2),
        "no memory values of the guest, as <memballoon> has the model none": guest(3),
        "no memory values of the guest, as it has not reported any": guest(4),
        "no statistics of vhostuser disks: QEMU has none": f"{guest(5)} (vdb)",
        "no lines of interfaces without a name on the host: libvirt has no statistics of them": (
            f"{guest(6)} (52:54:00:00:00:06)"
        ),
        "no tags of interfaces, as neither name nor position tells which one of the XML each is": (
            f"{guest(7)} (52:54:00:00:00:07)"
        ),
    }
    quiet = run("--check", "--config", config(options + 'statistics_groups = ["state"]'))
    assert "what helps" not in quiet.stdout


def test_many_guests_that_lack_the_same(daemon: Callable[..., Daemon]) -> None:
    """Of many guests it names ten."""
    crowd = Crowd(30)
    xml = b"<domain><devices><memballoon model='virtio'/></devices></domain>"
    crowd.documents = {guest(number): xml for number in range(1, 31)}
    done = run("--check", "--uri", daemon(crowd=crowd).uri)
    assert f"{guest(9)}, {guest(10)} and 20 more\n" in done.stdout


def test_how_many_domains_have_a_tag(config: Callable[..., Path]) -> None:
    """It counts the domains with each tag; a tag that no domain has is a problem."""
    path = config(
        f'libvirt_uri = "{TEST_DRIVER}"\nadditional_domain_tags = ["uuid", "project_id"]\n'
        'additional_device_tags = ["serial"]'
    )
    done = run("--check", "--config", path)
    assert done.returncode == 0
    assert "  tag uuid: 1 of 1 domains have it\n  tag project_id: 0 of 1 " in done.stdout
    assert "  tag of devices serial: 0 of 1 domains have it\n  what helps: no dom" in done.stdout
    assert run("--check", "--strict", "--config", path).returncode == 3


@pytest.mark.parametrize("connected", [True, False])
def test_how_many_agents_are_connected(
    daemon: Callable[..., Daemon], config: Callable[..., Path], connected: bool
) -> None:
    """A source without a connected agent does not work, and the report says what helps."""
    hypervisor = daemon()
    state = "connected" if connected else "disconnected"
    hypervisor.xml = (
        "<domain><devices><channel><target name='org.qemu.guest_agent.0' "
        f"state='{state}'/></channel></devices></domain>"
    )
    path = config(f'libvirt_uri = "{hypervisor.uri}"\nadditional_statistics = ["guest_agent"]')
    done = run("--check", "--strict", "--config", path)
    if connected:
        assert "  source guest_agent: works, connected agents: 1, 0 lines now\n" in done.stdout
    else:
        expected = "  source guest_agent: connected agents: 0\n  what helps: qemu-guest-agent "
        assert expected in done.stdout and done.returncode == 3


def test_a_problem_of_strict_is_no_failure_otherwise(config: Callable[..., Path]) -> None:
    """Without --strict only a hypervisor that cannot be read is a failure; that has its own
    status. The option needs --check."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\ndomains = ["tset"]')
    assert run("--check", "--config", path).returncode == 0
    assert run("--check", "--strict", "--config", path).returncode == 3
    assert run("--check", "--strict", "--uri", MISSING).returncode == 1
    done = run("--strict", "--uri", TEST_DRIVER)
    assert done.returncode == 2 and "--strict needs --check" in done.stderr
