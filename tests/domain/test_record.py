"""The tags of devices, and names in the statistics that the XML does not have."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.domain.identity import IdentityReader
from telegraf_execd_libvirt.domain.record import Stats

DISKS = "".join(
    f"<disk><target dev='{name}'/><serial>{number}</serial></disk>"
    for number, name in enumerate(("vda", "", "vdc"))
)
IDENTITY = IdentityReader(device_tags=("serial",)).read(
    f"<domain><devices>{DISKS}</devices></domain>"
)


def named(*names: str, **others: int) -> Stats:
    """Statistics of disks with these names, where they are not empty."""
    keys = {f"block.{at}.name": name for at, name in enumerate(names) if name}
    return {"block.count": len(names), **keys, **others}


@pytest.mark.parametrize(
    ("stats", "index", "serial"),
    [
        (named("vda", "", "vdc"), "2", "2"),
        (named("vdc", "vda"), "0", "2"),  # the statistics have fewer disks, or another order
        (named("vda", "", "vdc"), "1", "1"),  # a disk without a name by its position
        (named("", "", ""), "2", "2"),
        (named("vda", ""), "1", None),
        (named("vda", "", "vdd"), "1", None),  # unless another name contradicts it
        (named("vda", "", "vdc"), "3", None),
    ],
)
def test_tags_of_devices(stats: Stats, index: str, serial: object) -> None:
    """A device is found by its name, or else by its position."""
    assert IDENTITY.device_tags("block", index, stats).get("serial") == serial
    assert IDENTITY.device_tags("net", index, stats) == {}


def test_names_that_the_xml_does_not_have() -> None:
    """Its domain has changed since the XML was read."""
    assert IDENTITY.unknown(named("vda", "", "vdc")) == frozenset()
    assert IDENTITY.unknown(named("vda", "vdx", "vdc", "vdy")) == {"vdx", "vdy"}
    assert IDENTITY.unknown({**named("vdx"), "block.count": "?"}) == frozenset()
