"""--check reports for each hypervisor what works, and advice for what does not."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from support.crowd import Crowd, guest, one_guest
from support.host import Config, Daemons, Start, sections
from support.missing import needed
from support.plugin import TEST_DRIVER, environment, eventually, run, small_pipe
from support.server import GET_ALL_DOMAIN_STATS
from telegraf_execd_libvirt.groups import TELEGRAF_GROUPS

pytestmark = pytest.mark.thorough

MISSING = "qemu+unix:///system?socket=/nonexistent"
HOST_NAME = "  what helps: check the host name in libvirt_uri\n"
IS_IT_RUNNING = "  what helps: is the daemon of that socket running?\n"


@pytest.mark.smoke
def test_what_works() -> None:
    """For a working hypervisor it prints driver, version, domains and groups, with status 0."""
    done = run("--check", "--uri", TEST_DRIVER)
    assert (done.returncode, done.stderr) == (0, "")
    title, reachable, *rest = done.stdout.splitlines(keepends=True)
    assert title == "inputs.libvirt[0]: test:///default\n"
    assert reachable.startswith("  reachable: yes: driver TEST, libvirt ")
    domains, reported, silent, groups, tick = rest
    assert domains == "  domains: 1, of which 1 run\n"
    assert reported.startswith("  reported: state")
    assert silent.startswith("  not reported by any domain now: ") and "perf" in silent
    times = re.findall(
        r"(\w+) \d+\.\d\d ms", groups.partition("time for each guest that runs: ")[2]
    )
    assert {*times} == {*TELEGRAF_GROUPS}
    assert re.fullmatch(r"  a tick takes \d+\.\d\d ms now\n", tick)


def test_what_fails(tmp_path: Path, config: Config, daemon: Daemons) -> None:
    """The report of each hypervisor that cannot be read has the reason, and what helps; none ends
    the report, and the status is 1, also with --strict. In one process, as each connection that
    fails takes time."""
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(os.fspath(tmp_path / "left"))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    silent, hanging = daemon(silent=True), daemon()
    hanging.unanswered.add(GET_ALL_DOMAIN_STATS)
    no_driver = "no connection driver available for nosuch:///system"
    unknown = daemon(error=(5, 0, no_driver)).uri.replace("qemu", "nosuch")
    refusing = [daemon(error=(code, 0, "access denied")).uri for code in (45, 88)]
    refused = "  reachable: no: access denied\n"
    action = "allow this user the polkit action org.libvirt."
    anybody = "  what helps: the read-only socket is usually open to everybody: "
    listening = "  what helps: is the daemon of that host listening? systemctl start libvirtd-tcp"
    unknown_driver = "  what helps: this libvirt knows no driver 'nosuch'; check libvirt_uri"
    cases = [
        (MISSING, "socket to 'socket': No such file or directory\n", IS_IT_RUNNING),
        (f"xen+unix:///system?socket={tmp_path}/left", "Connection refused", IS_IT_RUNNING),
        (f"qemu+unix:///system?socket={closed}/s", "Permission denied", anybody),
        (refusing[0], refused, f"{action}unix.monitor "),
        (refusing[1], refused, f"{action}api.connect.search-domains "),
        ("qemu+tcp://name.invalid/system", "nable to resolve address 'name.invalid'", HOST_NAME),
        ("qemu+tcp://127.0.0.1:1/system", "refused", listening),
        (unknown, f"  reachable: no: {no_driver}\n", unknown_driver),
        (silent.uri, " within 0.3s\n", "  what helps: "),
        (hanging.uri, " within 0.3s\n", "  what helps: "),
        (TEST_DRIVER, "  reachable: yes: ", "  reported: "),
    ]
    short = '\ntimeout = "300ms"'
    path = config(
        *(f'libvirt_uri = "{uri}"' + short * ("0.3s" in reason) for uri, reason, _ in cases)
    )
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        needed("setpriv", "util-linux")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
    env = environment(RES_OPTIONS="timeout:1 attempts:1")
    try:
        done = run("--check", "--strict", "--config", path, prefix=prefix, env=env)
    finally:
        closed.chmod(0o700)
    assert (done.returncode, done.stderr) == (1, "")
    reports = sections(done.stdout)
    assert len(reports) == len(cases)
    for (uri, reason, helps), report in zip(cases, reports):
        assert ("  reachable: yes: " if uri == TEST_DRIVER else "  reachable: no: ") in report
        assert reason in report and helps in report
    assert "unix_sock_ro_perms" in reports[2] and "(usually libvirt)" in reports[2]


def test_what_is_wanted_and_not_there(config: Config) -> None:
    """It lists configured domains that the hypervisor does not have, with escapes for what the
    locale cannot show, and additional statistics beside the groups. It counts the domains with each
    tag; a tag that no domain has is a problem."""
    domains = f'libvirt_uri = "{TEST_DRIVER}"\ndomains = ["test", "größe", "b\\nc"]'
    tags = (
        f'libvirt_uri = "{TEST_DRIVER}"\nadditional_domain_tags = ["uuid", "project_id"]\n'
        'additional_statistics = ["vcpu_mapping"]\nadditional_device_tags = ["serial"]'
    )
    path = config(domains, tags)
    done = run("--check", "--config", path)
    assert done.returncode == 0
    missing, without = sections(done.stdout)
    assert "  domains: 1, of which 1 run\n" in missing
    assert "  domains that are not there: b\\nc, größe\n" in missing
    assert "vcpu_mapping" in without
    assert "  tag uuid: 1 of 1 domains have it\n  tag project_id: 0 of 1 " in without
    assert "  tag of devices serial: 0 of 1 domains have it\n  what helps: no dom" in without
    assert run("--check", "--strict", "--config", config(tags)).returncode == 3
    done = run("--check", "--config", path, env=environment(PYTHONIOENCODING="ascii"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "  domains that are not there: b\\nc, gr" in done.stdout


@pytest.mark.parametrize("taken", [False, True])
def test_no_free_place(daemon: Daemons, config: Config, taken: bool) -> None:
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


def test_a_signal_ends_it(start: Start, daemon: Daemons, config: Config) -> None:
    """A signal ends it although the daemon hangs for a minute."""
    hypervisor = daemon(silent=True)
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "1m"')
    reader, writer = small_pipe()
    with reader, writer:
        plugin = start("--check", "--config", path, stdout=writer)
        assert eventually(lambda: hypervisor.asked)
        plugin.signal(signal.SIGINT)
        assert plugin.wait() in (0, 1, 128 + signal.SIGINT, -signal.SIGINT)
        assert plugin.log.text == ""


def test_a_uri_that_libvirt_cannot_take(config: Config) -> None:
    """It rejects a URI with a NUL character in one line."""
    for option in ("--check", "--once"):
        done = run(option, "--config", config('libvirt_uri = "test:///\\u0000"'))
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 1


BALLOON = "<memballoon model='virtio'><stats period='5'/></memballoon>"
WITHOUT_BALLOON, WITHOUT_NET = (
    tuple(parameter for parameter in Crowd(1).parameters if not re.match(keys, parameter.key))
    for keys in (r"balloon\.(unused|available|usable)", r"net\.1\.")
)


def test_what_guests_lack(daemon: Daemons, config: Config) -> None:
    """It says which guests lack values and tags though they answer, why, and what helps, naming ten
    of many; nothing of guests that lack nothing, are off or do not respond, nor of what is not
    configured."""
    mac = "<mac address='52:54:00:00:00:0{}'/>"
    nets = "<interface type='bridge'><target dev='vnet0'/>{}</interface><interface>{}</interface>"
    devices = (
        BALLOON + nets.format(mac.format(1), "<target dev='vnet1'/>" + mac.format(2)),
        "<memballoon model='virtio'/>",
        "<memballoon model='none'/>",
        BALLOON,
        BALLOON + "<disk type='vhostuser'><target dev='vdb'/></disk><disk type='file'/>",
        BALLOON + nets.format("", mac.format(6)),
        BALLOON + nets.format("", mac.format(7)).replace("vnet0", "vnet8"),
        "<memballoon model='virtio'/>",
    )
    crowd = Crowd(8, off={guest(8)}, special={guest(4): WITHOUT_BALLOON, guest(6): WITHOUT_NET})
    xml = [f"<domain><devices>{each}</devices></domain>".encode() for each in devices]
    crowd.documents = {guest(number): each for number, each in enumerate(xml, 1)}
    many = Crowd(30, documents={guest(number): xml[1] for number in range(1, 31)})
    options = f'libvirt_uri = "{daemon(crowd=crowd).uri}"\n'
    path = config(
        options + 'additional_device_tags = ["mac"]',
        f'libvirt_uri = "{daemon(crowd=many).uri}"\ntags = {{ case = "1" }}',
        options + 'statistics_groups = ["state"]\ntags = { case = "2" }',
    )
    done = run("--check", "--config", path)
    assert done.returncode == 0
    lacking, crowded, quiet = sections(done.stdout)
    assert dict(re.findall(r"  (no .*|memory .*): (.*)\n  what helps: .+\n", lacking)) == {
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
    assert f"{guest(9)}, {guest(10)} and 20 more\n" in crowded
    assert "what helps" not in quiet


def test_what_the_summary_lacks(daemon: Daemons, config: Config) -> None:
    """Why started_at and agent_connected are absent, if the summary of guests is configured."""
    channel = "<channel><target name='org.qemu.guest_agent.0' state='connected'/></channel>"
    crowd = Crowd(
        2, documents={guest(1): f"<domain><devices>{channel}</devices></domain>".encode()}
    )
    table = f'libvirt_uri = "{daemon(crowd=crowd).uri}"\nstatistics_groups = ["state"]\n'
    path = config(table + 'additional_statistics = ["domain"]', table + 'tags = { a = "b" }')
    summary, without = sections(run("--check", "--config", path).stdout)
    found = dict(re.findall(r"  no (\w+)[:,] .*: (.*)\n  what helps: .+\n", summary))
    assert found == {"started_at": f"{guest(1)}, {guest(2)}", "agent_connected": guest(2)}
    assert "what helps" not in without


def test_why_a_source_has_no_lines(config: Config) -> None:
    """A source that works and has nothing to say explains it; one with lines does not."""
    names = ["hostdev_info", "domain_info", "event"]
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = {names}')
    found = re.findall(r"  source (\w+): works, (.*)", run("--check", "--config", path).stdout)
    assert dict(found) == {
        "hostdev_info": "0 lines now: no domain has passed-through devices in its XML",
        "domain_info": "1 lines now",
        "event": "0 lines now: no event has come yet",
    }


def test_a_source_of_which_a_part_works(daemon: Daemons, config: Config, start: Start) -> None:
    """What comes is written; what fails is named by --check, and once in the log. The daemon of
    networks, which the leases need, may be missing behind the one that is asked."""
    no_table, no_daemon = daemon(), daemon()
    no_table.addressless[2] = (1, 0, "internal error: wrong nlmsg len")
    socket = "Failed to connect socket to '/run/libvirt/virtnetworkd-sock'"
    no_daemon.addressless[0] = (38, 7, socket)
    table = 'libvirt_uri = "{}"\ntags = {{ case = "{}" }}\n[inputs.libvirt.interface_address]\n'
    also = 'additional_statistics = ["interface_address"]\n'
    daemons = enumerate([no_table, no_daemon])
    path = config(*(also + table.format(each.uri, n) + 'interval = "1ms"' for n, each in daemons))
    done = run("--check", "--strict", "--config", path)
    arp, leases = sections(done.stdout)
    works = "  source interface_address: works, 1 lines now; libvirt cannot read "
    assert re.search(rf"{works}the ARP table .*: internal error: wrong nlmsg len\n  what he", arp)
    assert re.search(rf"{works}the leases .*: {socket}\n  what helps: ", leases)
    assert done.returncode == 3
    plugin = start("--config", path)
    at = "libvirt_interface_address,address=10.0.0.5,case={},domain_name=guest,interface=vnet0 {}"
    wanted = (at.format(0, "lease=1i,arp=0i"), at.format(1, "lease=0i,arp=1i"))

    def came(lines: list[str]) -> bool:
        return all(any(line.startswith(begin) for line in lines) for begin in wanted)

    for _ in range(3):
        plugin.tick()
        plugin.metrics.wait_for(came, "an address of each")
        plugin.metrics.forget()
    plugin.finish()
    for what in ("ARP table", "leases of"):
        text = f"interface_address: libvirt cannot read the {what}"
        assert len(plugin.wait_for_message(text)) == 1


def test_how_many_agents_are_connected(daemon: Daemons, config: Config) -> None:
    """A source without a connected agent does not work, and the report says what helps; unless no
    domain runs."""
    agent = "<channel><target name='org.qemu.guest_agent.0' state='{}'/></channel>"
    xml = f"<domain><devices>{agent}</devices></domain>"
    states = ("connected", "disconnected")
    daemons = [daemon(crowd=one_guest(xml.format(state))) for state in states]
    also = 'additional_statistics = ["guest_agent"]\ntags = {{ case = "{}" }}'.format
    tables = (f'libvirt_uri = "{each.uri}"\n{also(n)}' for n, each in enumerate(daemons))
    done = run("--check", "--strict", "--config", config(*tables))
    connected, disconnected = sections(done.stdout)
    assert "  source guest_agent: works, connected agents: 1, 0 lines now\n" in connected
    expected = "  source guest_agent: connected agents: 0\n  what helps: qemu-guest-agent "
    assert expected in disconnected and done.returncode == 3
    path = config(f'libvirt_uri = "{daemon(crowd=Crowd(1, off={guest(1)})).uri}"\n{also(0)}')
    done = run("--check", "--strict", "--config", path)
    assert "  source guest_agent: works, connected agents: 0, 0 lines now\n" in done.stdout
    assert done.returncode == 0
