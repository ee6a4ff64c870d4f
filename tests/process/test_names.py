"""Names and messages of a daemon that are not UTF-8 cost nothing; they are written readably."""

from __future__ import annotations

import pytest
from line_protocol_parser import parse_line

from support.crowd import Crowd, guest
from support.host import Hosts, Line
from support.plugin import eventually
from support.server import GET_XML_DESC

#: As the daemon sends it, and as it is written.
RAW, READABLE = "b\udcffd\udcc3", "b\\xffd\\xc3"

WARNING = f"its name is not UTF-8; written as {READABLE}"


def names(lines: list[Line], measurement: str = "libvirt_state") -> list[str]:
    """The names of the domains in the lines of one measurement."""
    return [line["tags"]["domain_name"] for line in lines if line["measurement"] == measurement]


@pytest.mark.parametrize(
    ("guests", "options"),
    [
        (120, 'additional_domain_tags = ["instance_name"]'),
        (2, f"domains = ['{READABLE}', '{guest(1)}']"),
    ],
)
def test_a_name(host: Hosts, guests: int, options: str) -> None:
    """All guests are written in each tick, and one warning has the name."""
    crowd = Crowd(guests, renamed={guest(2): RAW})
    ticked = host(crowd, options, 'timeout = "60s"', also=["domain", "job"])
    expected = sorted({READABLE, *(guest(n) for n in range(1, guests + 1) if n != 2)})
    for _ in range(3):
        lines = ticked.read()
        assert sorted(names(lines)) == expected
        if "instance_name" in options:
            tags = {line["tags"]["instance_name"] for line in lines if "vcpu_id" in line["tags"]}
            assert f"name of {READABLE}" in tags and len(tags) == guests
        assert READABLE in names(lines, "libvirt_domain")
    assert ticked.plugin.finish() == 0
    assert sum(WARNING in line for line in ticked.troubles) == 1
    allowed = (WARNING, "the tag title takes the place", "longer than the interval")
    assert all(any(words in line for words in allowed) for line in ticked.troubles)


def test_an_event(host: Hosts) -> None:
    """An event about such a guest arrives: its XML is read again."""
    crowd = Crowd(2, renamed={guest(2): RAW})
    interval = '[inputs.libvirt.event]\ninterval = "1ms"'
    tags = 'additional_domain_tags = ["instance_name"]'
    ticked = host(crowd, tags, interval, also=["event"])
    ticked.tick()
    ticked.daemon.tell_of(guest(2))

    def read_again() -> bool:
        found = READABLE in names(ticked.read())
        ticked.plugin.wait_until_idle()
        return found and ticked.asked[GET_XML_DESC] > 0

    assert eventually(read_again)

    def events() -> list[str]:
        ticked.tick()
        return names([*map(parse_line, ticked.plugin.metrics.lines)], "libvirt_event")

    ticked.daemon.tell_of(guest(2))
    assert eventually(lambda: READABLE in events())
