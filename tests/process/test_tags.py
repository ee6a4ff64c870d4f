"""Tags from the domains' XML: on which lines, from when on, and at which cost."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from support.crowd import INT, STRING, UINT, ULLONG, Crowd, Parameter, guest, uuid_of
from support.host import Daemons, Host, Hosts, Line
from support.plugin import eventually
from support.server import GET_XML_DESC

DOMAIN_TAGS = (
    *("uuid", "title", "instance_name", "project_id", "project_name", "user_id", "user_name"),
    *("flavor_name", "image_id"),
)
DEVICE_TAGS = ("device", "interface", "mac", "bridge", "serial")

ALL_TAGS = (
    f"additional_domain_tags = {[*DOMAIN_TAGS]}",
    f"additional_device_tags = {[*DEVICE_TAGS]}",
)

PERF = Parameter(1 << 6, "perf.cmt", ULLONG, 7)
NET = 1 << 4
MEMORY = Parameter(1 << 8, "memory.bandwidth.monitor.count", INT, 0)


def own(line: Line) -> dict[str, str]:
    """The tags of a line that come from the XML."""
    return {tag: value for tag, value in line["tags"].items() if tag in DOMAIN_TAGS + DEVICE_TAGS}


def tagged(lines: Iterable[Line]) -> bool:
    """Whether each line has all tags of its domain."""
    return all(line["tags"].keys() >= {*DOMAIN_TAGS} for line in lines)


def titles(lines: Iterable[Line]) -> set[str | None]:
    """The titles in the tags of lines."""
    return {line["tags"].get("title") for line in lines}


# Which lines


def test_every_line_of_a_domain(host: Hosts) -> None:
    """Each line of a domain has the domain's tags, from the first tick on; those of a disk or an
    interface have their device's tags as well, and no others do."""
    crowd = Crowd(3)
    crowd.parameters += (PERF, MEMORY)
    crowd.busy = {guest(2): 1000}  # this guest comes incomplete, with a line that says so
    ticked = host(crowd, 'metric_set = "full"', *ALL_TAGS)
    devices = {
        ("libvirt_block", "0"): {"device": "vda", "serial": "{0}-a"},
        ("libvirt_block", "1"): {"device": "vdb", "serial": "{0}-b"},
        ("libvirt_net", "0"): {"interface": "vnet0", "mac": "52:54:00:{1:06x}", "bridge": "br0"},
        ("libvirt_net", "1"): {"interface": "vnet1", "bridge": "private"},
    }
    for _ in range(3):
        found = ticked.guests()
        assert len(found) == 3 and ticked.health["domains_untagged"] == 0
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


DOCTYPE = b"""<!DOCTYPE domain [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<domain type='kvm'><title>&b;</title></domain>"""

#: The XML of guests that is broken, hostile or too large.
UNUSABLE = (
    DOCTYPE,
    b"<domain><title>cut off",
    b"",
    b"<domain><title>big</title><description>%s</description></domain>" % (b"x" * 4_200_000),
)


def test_xml_that_cannot_be_used(host: Hosts) -> None:
    """A guest whose XML cannot be used has no tags, and is named in one warning; nothing else
    changes, and its XML is not read again. A text that is not UTF-8 becomes a readable tag."""
    crowd = Crowd(6)
    crowd.documents = {guest(number): xml for number, xml in enumerate(UNUSABLE, 3)}
    crowd.documents[guest(2)] = with_interface("vnet7", b"\xff\xfe")
    ticked = host(crowd, *ALL_TAGS)
    for number in range(3):
        found = ticked.guests()
        assert ticked.health["up"] == 1 and len(found) == 6
        assert tagged(found[guest(1)]) and titles(found[guest(2)]) == {r"\xff\xfe"}
        for name, lines in found.items():
            assert [x["fields"] for x in lines] == [x["fields"] for x in found[guest(1)]]
            assert not any(map(own, lines)) or name in (guest(1), guest(2))
        assert ticked.asked[GET_XML_DESC] in (range(6, 12) if number == 0 else [0])
    assert ticked.plugin.finish() == 0
    problems = ("document type", "cannot be read: no", "cannot be read: no", "too large")
    for number, warning, problem in zip(range(3, 7), ticked.troubles, problems):
        assert f"domain {uuid_of(number)}: the domain's XML" in warning and problem in warning
    assert len(ticked.troubles) == len(problems)


# When, and at which cost


def third_interface(name: str) -> tuple[Parameter, ...]:
    """The statistics of a guest with one more interface."""
    named = Parameter(NET, "net.2.name", STRING, name)
    count = Parameter(NET, "net.count", UINT, 3)
    received = Parameter(NET, "net.2.rx.bytes", ULLONG, 1)
    others = [p for p in Crowd(1).parameters if p.key != "net.count"]
    return (*others, count, named, received)


def with_interface(name: str, title: bytes = b"") -> bytes:
    """The XML of a guest with two usual interfaces and this one, and with this title."""
    nets = (("vnet0", 1), ("vnet1", 2), (name, 7))
    devices = "".join(
        f"<interface type='ethernet'><mac address='52:54:00:00:00:0{mac}'/>"
        f"<target dev='{name}'/></interface>"
        for name, mac in nets
    )
    disks = "".join(f"<disk><target dev='{name}'/></disk>" for name in ("vda", "vdb"))
    devices = f"<devices>{disks}{devices}</devices>"
    return b"<domain><title>%s</title>%s</domain>" % (title, devices.encode())


def third_mac(lines: list[Line]) -> str | None:
    """The MAC address in the tags of the third interface."""
    (line,) = (line for line in lines if line["tags"].get("interface_id") == "2")
    found: str | None = line["tags"].get("mac")
    return found


MAC = "52:54:00:00:00:07"


def test_reasons_to_read_again(host: Hosts) -> None:
    """The XML of a guest is read again when it starts or stops, and in the same tick if it has a
    device that the known XML lacks: only once, also if the XML never names the device."""
    ticked = host(Crowd(3), *ALL_TAGS)
    ticked.tick()
    crowd = ticked.crowd
    crowd.off.add(guest(1))
    crowd.documents[guest(1)] = with_interface("vnet7", b"off now")
    found = ticked.guests()
    assert 0 < ticked.asked[GET_XML_DESC] < 3
    assert titles(found[guest(1)]) == {"off now"} and tagged(found[guest(3)])
    for name, written, mac in (
        ("vnet7", "vnet7", MAC),
        ("vnet8", "vnet8", MAC),
        ("vnet9", "other", None),
    ):
        crowd.special[guest(2)] = third_interface(name)
        crowd.documents[guest(2)] = with_interface(written)
        for number in range(3):
            assert third_mac(ticked.guests()[guest(2)]) == mac
            assert (ticked.asked[GET_XML_DESC] > 0) == (number == 0)
        assert ticked.health["domains_untagged"] == 0
        crowd.special.clear()
        ticked.tick()


def test_all_connections_share_what_is_known(host: Hosts, daemon: Daemons) -> None:
    """After a daemon was restarted, with several connections, an event about a domain reaches what
    each of them knows: all lines have the new tags."""
    crowd = Crowd(120)
    ticked = host(crowd, *ALL_TAGS, "parallel_calls = 4", 'statistics_groups = ["state"]')
    assert len(ticked.guests()) == 120
    for title in ("first", "second"):
        ticked.daemon.close()
        ticked.daemon = daemon(ticked.daemon.path.name, crowd=crowd)
        assert eventually(lambda: len(ticked.guests()) == 120)
        assert [len(ticked.guests()) for _ in range(2)] == [120] * 2
        xml = f"<domain><title>{title}</title></domain>".encode()
        for number in range(1, 121):
            crowd.documents[guest(number)] = xml
            ticked.daemon.tell_of(guest(number))
        assert eventually(lambda: titles(all_lines(ticked)) == {title})  # noqa: B023


def all_lines(ticked: Host) -> list[Line]:
    """The lines of all domains in one more tick."""
    return [line for lines in ticked.guests().values() for line in lines]


def shape(found: dict[str, list[Line]]) -> dict[str, set[tuple[str, str]]]:
    """The measurements and fields of each domain."""
    return {
        name: {(line["measurement"], field) for line in lines for field in line["fields"]}
        for name, lines in found.items()
    }


@pytest.mark.thorough
def test_a_daemon_that_does_not_answer_requests_for_xml(host: Hosts, daemon: Daemons) -> None:
    """The lines come whole, without tags, and counted; tags come once the daemon answers. Guests
    whose tags are known keep them."""
    hypervisor = daemon(crowd=Crowd(120))
    whole = shape(host(hypervisor).guests())
    hypervisor.unanswered.add(GET_XML_DESC)
    ticked = host(hypervisor, 'timeout = "2s"', *ALL_TAGS)
    for _ in range(2):
        found = ticked.guests()
        assert shape(found) == whole and not any(own(x) for lines in found.values() for x in lines)
        assert ticked.health["domains_untagged"] == 120 and ticked.health["up"] == 1
        assert ticked.health["domains_incomplete"] == 0 and ticked.health["calls_hanging"] <= 5
    hypervisor.answer()
    assert eventually(lambda: tagged(all_lines(ticked)) and not ticked.health["calls_hanging"])

    hypervisor.unanswered.add(GET_XML_DESC)
    new = ticked.crowd.define()
    found = ticked.guests()
    assert {name for name, lines in found.items() if not tagged(lines)} == {new}
    assert not any(map(own, found[new])) and ticked.health["domains_untagged"] == 1
    hypervisor.answer()
    assert eventually(lambda: tagged(all_lines(ticked)))
