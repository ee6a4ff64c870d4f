"""Tags from the domains' XML: on which lines, from when on, and at which cost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from line_protocol_parser import parse_line

from support.crowd import INT, STRING, UINT, ULLONG, Crowd, Parameter, guest
from support.plugin import Plugin, eventually, run
from support.server import GET_ALL_DOMAIN_STATS, GET_XML_DESC, LIST_ALL_DOMAINS, Daemon

DOMAIN_TAGS = (
    *("uuid", "title", "instance_name", "project_id", "project_name", "user_id", "user_name"),
    *("flavor_name", "image_id"),
)
DEVICE_TAGS = ("device", "interface", "mac", "bridge", "serial")

ALL_TAGS = (
    f"additional_domain_tags = {[*DOMAIN_TAGS]}",
    f"additional_device_tags = {[*DEVICE_TAGS]}",
)

NOVA = "http://openstack.org/xmlns/libvirt/nova"
ONE = "http://opennebula.org/xmlns/libvirt/1.0"

PERF = Parameter(1 << 6, "perf.cmt", ULLONG, 7)
NET = 1 << 4
MEMORY = Parameter(1 << 8, "memory.bandwidth.monitor.count", INT, 0)

Line = dict[str, Any]
"""A parsed line: measurement, tags, fields and time."""


def own(line: Line) -> dict[str, str]:
    """The tags of a line that come from the XML."""
    return {tag: value for tag, value in line["tags"].items() if tag in DOMAIN_TAGS + DEVICE_TAGS}


def of_domain(line: Line) -> dict[str, str]:
    """The tags of a line that belong to the domain, not to a device."""
    return {tag: value for tag, value in line["tags"].items() if tag in DOMAIN_TAGS}


class Ticks:
    """A plugin whose ticks end with its metrics of itself."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.health: Line = {}

    def __call__(self) -> dict[str, list[Line]]:
        """One tick: the lines of each domain."""
        self.plugin.metrics.forget()
        self.plugin.tick_and_go_on()
        lines = self.plugin.metrics.wait_for(
            lambda lines: lines and lines[-1].startswith("libvirt_health,"), "a tick"
        )
        *rest, self.health = map(parse_line, lines)
        found: dict[str, list[Line]] = {}
        for line in rest:
            found.setdefault(line["tags"]["domain_name"], []).append(line)
        return found

    @property
    def took(self) -> float:
        """The seconds of the last tick."""
        return int(self.health["fields"]["collect_time_ns"]) / 1e9

    @property
    def untagged(self) -> int:
        """The number of domains that the last tick counted as untagged."""
        return int(self.health["fields"]["domains_untagged"])


@pytest.fixture
def ticks(start: Callable[..., Plugin], config: Callable[..., Path]) -> Callable[..., Ticks]:
    """Start the plugin with all tags and these options on a daemon."""

    def begin(daemon: Daemon, *options: str) -> Ticks:
        additional = 'additional_statistics = ["health"]'
        text = [f'libvirt_uri = "{daemon.uri}"', additional, *ALL_TAGS, *options]
        return Ticks(start("--config", config("\n".join(text))))

    return begin


# Which lines


def test_every_line_of_a_domain(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks], config: Callable[..., Path]
) -> None:
    """Each line of a domain has the domain's tags, from the first tick on; those of a disk or an
    interface have their device's tags as well, and no others do."""
    crowd = Crowd(3)
    crowd.parameters += (PERF, MEMORY)
    crowd.busy = {guest(2): 1000}  # this guest comes incomplete, with a line that says so
    tick = ticks(daemon(crowd=crowd), 'metric_set = "full"')
    devices = {
        ("libvirt_block", "0"): {"device": "vda", "serial": "{0}-a"},
        ("libvirt_block", "1"): {"device": "vdb", "serial": "{0}-b"},
        ("libvirt_net", "0"): {"interface": "vnet0", "mac": "52:54:00:{1:06x}", "bridge": "br0"},
        ("libvirt_net", "1"): {"interface": "vnet1", "bridge": "private"},
    }
    for _ in range(3):
        found = tick()
        assert len(found) == 3 and tick.untagged == 0
        for number in range(1, 4):
            name = guest(number)
            lines = found[name]
            (uuid,) = {line["tags"]["uuid"] for line in lines}
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
            assert {line["measurement"] for line in lines} >= {
                *("libvirt_state", "libvirt_cpu", "libvirt_balloon", "libvirt_vcpu"),
                *("libvirt_perf", "libvirt_memory_bandwidth_monitor_total", "libvirt_net"),
                *("libvirt_block", "libvirt_block_total", "libvirt_net_total"),
                *(["libvirt_domain_health"] if number == 2 else ["libvirt_iothread"]),
            }
            for line in lines:
                at = line["tags"].get("block_id") or line["tags"].get("interface_id")
                expected = devices.get((line["measurement"], at), {})
                assert own(line) == {
                    "uuid": uuid,
                    "title": f"Title of {name}",
                    "instance_name": f"name of {name}",
                    "project_id": f"p-{number}",
                    "project_name": f"project {number}",
                    "user_id": f"u-{number}",
                    "user_name": f"user {number}",
                    "flavor_name": "m1.small",
                    "image_id": f"i-{number}",
                    **{tag: text.format(name, number) for tag, text in expected.items()},
                }
        assert not own(tick.health)


def once(config: Callable[..., Path], xml: Path, *options: str) -> dict[str, list[Line]]:
    """One collection from libvirt's test driver: the lines of each domain."""
    path = config("\n".join([f'libvirt_uri = "test://{xml}"', *options]))
    done = run("--once", "--config", path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line[0] != "I"] == []
    found: dict[str, list[Line]] = {}
    for line in map(parse_line, done.stdout.splitlines()):
        found.setdefault(line["tags"]["domain_name"], []).append(line)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Path]:
    """Define a host of libvirt's test driver by the inner XML of its domains, by their names."""

    def write(**domains: str) -> Path:
        path = tmp_path / "host.xml"
        all_of_them = "".join(
            f"<domain type='test'><name>{name}</name><memory>1024</memory>"
            f"<os><type>hvm</type></os>{inner}</domain>"
            for name, inner in domains.items()
        )
        path.write_text(f"<node>{all_of_them}</node>", "utf-8")
        return path

    return write


def nova(version: str, name: str, project: str) -> str:
    """Metadata as OpenStack Nova writes it."""
    return (
        f"<metadata><nova:instance xmlns:nova='{NOVA}/{version}'><nova:name>{name}</nova:name>"
        f"<nova:flavor name='m1.tiny'/><nova:owner><nova:user uuid='u-{version}'>ann</nova:user>"
        f"<nova:project uuid='p-{version}'>{project}</nova:project></nova:owner>"
        f"<nova:root type='image' uuid='i-{version}'/></nova:instance></metadata>"
    )


def test_the_metadata_of_applications(
    config: Callable[..., Path], host: Callable[..., Path]
) -> None:
    """Both namespaces of Nova give tags, OpenNebula's metadata by a configured path; a domain
    without metadata has no such tags."""
    vm = f"<one:vm xmlns:one='{ONE}'><one:name>one-42</one:name><one:owner id='7'/></one:vm>"
    xml = host(
        new=nova("1.1", "web one", "shop"),
        old=nova("1.0", "web old", "shop"),
        one=f"<metadata>{vm}</metadata>",
        none="",
    )
    found = once(
        config,
        xml,
        *ALL_TAGS,
        f'[[inputs.libvirt.metadata_tags]]\nnamespace = "{ONE}"\npath = "vm/name"\ntag = "one"',
        f'[[inputs.libvirt.metadata_tags]]\nnamespace = "{ONE}"\npath = "vm/owner/@id"\ntag = "by"',
        f'[[inputs.libvirt.metadata_tags]]\nnamespace = "{ONE}x"\npath = "vm"\ntag = "never"',
    )
    tags = {}
    for name, lines in found.items():
        assert len(lines) > 2
        (each,) = {
            tuple(
                (tag, value)
                for tag, value in line["tags"].items()
                if tag not in ("uuid", "vcpu_id")
            )
            for line in lines
        }
        tags[name] = dict(each)
    of_nova = {
        version: {
            "project_id": f"p-{version}",
            "project_name": "shop",
            "user_id": f"u-{version}",
            "user_name": "ann",
            "flavor_name": "m1.tiny",
            "image_id": f"i-{version}",
        }
        for version in ("1.0", "1.1")
    }
    assert tags == {
        "new": {"domain_name": "new", "instance_name": "web one", **of_nova["1.1"]},
        "old": {"domain_name": "old", "instance_name": "web old", **of_nova["1.0"]},
        "one": {"domain_name": "one", "one": "one-42", "by": "7"},
        "none": {"domain_name": "none"},
    }


def test_hostile_titles(config: Callable[..., Path], host: Callable[..., Path]) -> None:
    """A title is escaped and cut to 256 characters; an empty one is no tag. Metadata of several
    lines gives a tag of one line."""
    titles = {
        "signs": 'a,b=c d"e"\\ %s %(x)s {0}',
        "unicode": "Žlutý 漢字 😀 &#x2028;end",
        "back": "ends in a backslash\\",
        "long": "é" * 1000,
        "blank": "  &#9; ",
    }
    xml = host(
        **{name: f"<title>{title}</title>" for name, title in titles.items()},
        lines=nova("1.1", "one\nlibvirt_state,domain_name=x state=1i\ntwo", "shop"),
    )
    found = once(config, xml, 'additional_domain_tags = ["title", "instance_name"]')
    for line in found.pop("lines"):
        assert of_domain(line) == {"instance_name": "one libvirt_state,domain_name=x state=1i two"}
    assert found.keys() == titles.keys()
    tags = {}
    for name, lines in found.items():
        (tags[name],) = {line["tags"].get("title") for line in lines}
    assert tags == {
        "signs": 'a,b=c d"e"\\ %s %(x)s {0}',
        "unicode": "Žlutý 漢字 😀  end",
        "back": "ends in a backslash",
        "long": "é" * 256,
        "blank": None,
    }


def test_a_huge_description(config: Callable[..., Path], host: Callable[..., Path]) -> None:
    """A domain whose XML is larger than 4 MiB has no tags; the others have theirs."""
    words = "x" * 5_000_000
    xml = host(
        huge=f"<title>big</title><description>{words}</description>", small="<title>small</title>"
    )
    path = config(f'libvirt_uri = "test://{xml}"\nadditional_domain_tags = ["title"]')
    done = run("--once", "--config", path)
    assert done.returncode == 0
    (warning,) = [line for line in done.stderr.splitlines() if line[0] != "I"]
    assert warning.startswith("W!") and "4 MiB" in warning
    tags = {
        (line["tags"]["domain_name"], line["tags"].get("title"))
        for line in map(parse_line, done.stdout.splitlines())
    }
    assert tags == {("huge", None), ("small", "small")}


DOCTYPE = b"""<!DOCTYPE domain [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<domain type='kvm'><title>&b;</title></domain>"""


@pytest.mark.parametrize(
    "document",
    [
        DOCTYPE,
        b"<domain><title>cut off",
        b"",
        b"<domain><title>big</title><description>%s</description></domain>" % (b"x" * 4_200_000),
    ],
    ids=["doctype", "cut", "empty", "too large"],
)
def test_xml_that_cannot_be_used(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks], document: bytes
) -> None:
    """A guest whose XML is broken, hostile or too large has no tags, and is named in one warning;
    nothing else changes, and its XML is not read again at each tick."""
    crowd = Crowd(5)
    hypervisor = daemon(crowd=crowd)
    usual = ticks(hypervisor)()
    crowd.documents[guest(3)] = document
    hypervisor.asked.clear()
    tick = ticks(hypervisor)
    for _ in range(3):
        found = tick()
        assert tick.health["fields"]["up"] == 1
        assert found.keys() == usual.keys()
        for name, lines in found.items():
            assert len(lines) == len(usual[name])
            for line, before in zip(lines, usual[name]):
                assert own(line) == ({} if name == guest(3) else own(before))
                assert line["fields"] == before["fields"]
    assert hypervisor.asked.count(GET_XML_DESC) == 5
    assert len(tick.plugin.wait_for_message("W! ")) == 1


def test_xml_that_is_not_utf_8(daemon: Callable[..., Daemon], ticks: Callable[..., Ticks]) -> None:
    """A text that is not UTF-8 becomes a readable tag."""
    crowd = Crowd(1)
    crowd.documents[guest(1)] = b"<domain><title>\xff\xfe</title></domain>"
    tick = ticks(daemon(crowd=crowd))
    assert {line["tags"].get("title") for line in tick()[guest(1)]} == {r"\xff\xfe"}
    assert tick.untagged == 0


# When, and at which cost


def test_a_thousand_guests_at_once(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks]
) -> None:
    """All guests are tagged in their first tick, by few connections; afterwards no tick makes more
    calls than without tags, and a new guest is tagged in its first tick, by one call."""
    hypervisor = daemon(crowd=Crowd(0))
    tick = ticks(hypervisor, 'timeout = "20s"')
    tick()
    hypervisor.crowd = Crowd(1000, step=1)
    found = tick()
    assert len(found) == 1000 and tick.untagged == 0
    assert all(len(of_domain(line)) == 9 for lines in found.values() for line in lines)
    assert 1000 <= hypervisor.asked.count(GET_XML_DESC) < 1100  # a slow machine repeats some
    assert hypervisor.connections <= 4 + 5  # a slow machine repeats some calls

    def only_statistics() -> bool:
        hypervisor.asked.clear()
        found = tick()
        assert all(len(of_domain(line)) == 9 for lines in found.values() for line in lines)
        assert GET_XML_DESC not in hypervisor.asked
        return hypervisor.asked == [LIST_ALL_DOMAINS] + [GET_ALL_DOMAIN_STATS] * 10

    assert eventually(only_statistics)  # a slow machine repeats some calls
    hypervisor.crowd = Crowd(1001, step=1)
    hypervisor.asked.clear()
    found = tick()
    assert len(found) == 1001 and hypervisor.asked.count(GET_XML_DESC) == 1
    assert all(len(of_domain(line)) == 9 for line in found[guest(1001)])
    assert hypervisor.connections <= 4 + 5  # a slow machine repeats some calls


def test_a_start_is_a_reason_to_read_again(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks]
) -> None:
    """The XML of a guest is read again when the guest starts or stops, and no other XML is."""
    crowd = Crowd(3)
    hypervisor = daemon(crowd=crowd)
    tick = ticks(hypervisor)
    tick()
    crowd.off.add(guest(2))
    crowd.documents[guest(2)] = b"<domain><title>off now</title></domain>"
    hypervisor.asked.clear()
    found = tick()
    assert hypervisor.asked.count(GET_XML_DESC) == 1
    assert {line["tags"]["title"] for line in found[guest(2)]} == {"off now"}
    assert all(len(of_domain(line)) == 9 for line in found[guest(1)])


def interface(number: int, name: str) -> tuple[Parameter, ...]:
    """The statistics of one more interface of a guest; without a name if that is empty."""
    named = [Parameter(NET, f"net.{number}.name", STRING, name)] if name else []
    count = Parameter(NET, "net.count", UINT, number + 1)
    received = Parameter(NET, f"net.{number}.rx.bytes", ULLONG, 1)
    others = [p for p in Crowd(1).parameters if p.key != "net.count"]
    return (*others, count, *named, received)


def with_interface(name: str, mac: str) -> bytes:
    """The XML of a guest with two usual interfaces and this one."""
    nets = ("vnet0", "52:54:00:00:00:01"), ("vnet1", "52:54:00:00:00:02"), (name, mac)
    devices = "".join(
        f"<interface type='ethernet'><mac address='{mac}'/>"
        + (f"<target dev='{name}'/>" if name else "")
        + "</interface>"
        for name, mac in nets
    )
    disks = "".join(f"<disk><target dev='{name}'/></disk>" for name in ("vda", "vdb"))
    return f"<domain><devices>{disks}{devices}</devices></domain>".encode()


@pytest.mark.parametrize("named", [True, False], ids=["known", "never named"])
def test_a_device_that_was_plugged_in_a_moment_ago(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks], named: bool
) -> None:
    """A device that the known XML does not have is a reason to read it in the same tick, before any
    event, and only once, also if the XML never names the device."""
    crowd = Crowd(3)
    hypervisor = daemon(crowd=crowd)
    tick = ticks(hypervisor)
    tick()
    for name in ("vnet7", "vnet8"):
        crowd.special[guest(2)] = interface(2, name)
        crowd.documents[guest(2)] = with_interface(name if named else "other", "52:54:00:00:00:07")
        hypervisor.asked.clear()
        for _ in range(3):
            lines = [line for line in tick()[guest(2)] if line["tags"].get("interface_id") == "2"]
            assert [line["tags"].get("mac") for line in lines] == (
                ["52:54:00:00:00:07"] if named else [None]
            )
        assert tick.untagged == 0 and hypervisor.asked.count(GET_XML_DESC) == 1
        crowd.special.clear()
        tick()


def test_an_interface_without_a_name_on_the_host(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks]
) -> None:
    """Where either the statistics or the XML have no name, the position tells which one it is, if
    the others fit; otherwise there is no tag."""
    crowd = Crowd(6)
    cases = {
        1: ("", "", "52:54:00:00:00:07"),
        2: ("vnet7", "", "52:54:00:00:00:07"),
        3: ("", "vnet7", "52:54:00:00:00:07"),
        4: ("vnet7", "vnet7", "52:54:00:00:00:07"),
        5: ("vnet7", "vnet6", None),
    }
    for number, (there, here, _) in cases.items():
        crowd.special[guest(number)] = interface(2, there)
        crowd.documents[guest(number)] = with_interface(here, "52:54:00:00:00:07")
    crowd.special[guest(6)] = interface(2, "")
    crowd.documents[guest(6)] = with_interface("", "52:54:00:00:00:07").replace(b"vnet1", b"vnet9")
    cases[6] = ("", "", None)
    found = ticks(daemon(crowd=crowd))()
    for number, (_, _, mac) in cases.items():
        lines = {line["tags"].get("interface_id"): line for line in found[guest(number)]}
        assert lines["2"]["tags"].get("mac") == mac, number


TIMEOUT = 1.0

SLOW = 0.7
"""What a slow machine may need beyond the timeout."""


@pytest.mark.parametrize("losses", [1, 2])
def test_all_connections_share_what_is_known(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks], losses: int
) -> None:
    """After a daemon was restarted, with several connections, an event about a domain reaches what
    each of them knows: all lines have the new tags."""
    crowd, count = Crowd(120), 120
    hypervisor = daemon("first", crowd=crowd)
    options = "parallel_calls = 4", 'statistics_groups = ["state"]'
    tick = ticks(hypervisor, *options)
    assert len(tick()) == count
    for _ in range(losses):
        hypervisor.close()
        hypervisor = daemon("first", crowd=crowd)
        assert eventually(lambda: len(tick()) == count)
        for _ in range(2):
            assert len(tick()) == count
    names = [guest(number) for number in range(1, count + 1)]
    crowd.documents = dict.fromkeys(names, b"<domain><title>a new one</title></domain>")
    for name in names:
        hypervisor.tell_of(name)
    for _ in range(5):
        found = tick()
        titles = {line["tags"].get("title") for lines in found.values() for line in lines}
        if titles == {"a new one"}:
            return
    raise AssertionError(titles)


def whole(found: dict[str, list[Line]]) -> dict[str, dict[str, set[str]]]:
    """The names of the fields of each domain and measurement."""
    names: dict[str, dict[str, set[str]]] = {}
    for name, lines in found.items():
        for line in lines:
            names.setdefault(name, {}).setdefault(line["measurement"], set()).update(line["fields"])
    return names


@pytest.mark.parametrize("guests", [3, 150])
def test_a_daemon_that_does_not_answer_requests_for_xml(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks], guests: int
) -> None:
    """The lines come within the timeout, whole, without tags, and counted; tags come once the
    daemon answers."""
    hypervisor = daemon(crowd=Crowd(guests))
    expected = whole(ticks(hypervisor)())
    hypervisor.unanswered.add(GET_XML_DESC)
    tick = ticks(hypervisor, f'timeout = "{TIMEOUT:.0f}s"')
    for _ in range(5):
        found = tick()
        assert tick.took < TIMEOUT + SLOW
        assert tick.untagged == guests and tick.health["fields"]["up"] == 1
        assert whole(found) == expected and tick.health["fields"]["domains_incomplete"] == 0
        assert not any(own(line) for lines in found.values() for line in lines)
        assert tick.health["fields"]["calls_hanging"] <= 5
    hypervisor.answer()

    def tagged() -> bool:
        found = tick()
        return tick.untagged == 0 and all(
            len(of_domain(line)) == 9 for lines in found.values() for line in lines
        )

    assert eventually(tagged)
    tick()
    assert tick.health["fields"]["calls_hanging"] == 0


def test_known_guests_keep_their_tags(
    daemon: Callable[..., Daemon], ticks: Callable[..., Ticks]
) -> None:
    """While the daemon answers no requests for XML, only a new guest lacks its tags, and only it is
    late."""
    hypervisor = daemon(crowd=Crowd(3))
    tick = ticks(hypervisor, f'timeout = "{TIMEOUT:.0f}s"')
    tick()
    hypervisor.unanswered.add(GET_XML_DESC)
    hypervisor.crowd = Crowd(4)
    for _ in range(2):
        found = tick()
        assert tick.took < TIMEOUT + SLOW and tick.untagged == 1
        assert {name for name in found if not any(map(own, found[name]))} == {guest(4)}
        assert all(len(of_domain(line)) == 9 for line in found[guest(1)])
    hypervisor.answer()
    assert eventually(lambda: tick() and tick.untagged == 0)
