"""InfluxDB 1.x accepts the plugin's lines, and returns the same names and numbers."""

import sys

from line_protocol_parser import parse_line

from support.process import finish
from telegraf_execd_libvirt.lines.protocol import format_line

TIME = 1700000000123456789
LARGEST = 9223372036854775807

NAMES = (
    *("web server", "a,b,,c", "vcpu=2", '"quoted"', r"back\slash\\twice"),
    *(r"back\slash ,not=the\\ end", "Žlutý-漢字-😀"),
)
VALUES = (LARGEST, -LARGEST - 1, 0, 2**53 + 1, 0.1, 1e-300, True, r'say "no" to C:\, ok=1')


def in_order(points):
    """The points, sorted."""
    return sorted(points, key=lambda p: (p["measurement"], sorted(p["tags"].items()), p["time"]))


def test_names_and_values_come_back(database):
    """A tag is the name again, whatever characters it has; a field has the same value and type,
    with all digits."""
    fields = [(f"f{number}", value) for number, value in enumerate(VALUES)]
    tags = [{"domain_name": name, "uri": "test:///default"} for name in NAMES]
    for each in tags:
        assert database.write(format_line("libvirt_state", each, fields, TIME)) == 204
    point = {"measurement": "libvirt_state", "fields": dict(fields), "time": TIME}
    found = in_order(database.points())
    assert found == in_order({**point, "tags": each} for each in tags)
    for each in found:
        assert [type(each["fields"][name]) for name, _ in fields] == [*map(type, VALUES)]


def test_what_influxdb_refuses(database):
    """An integer above the largest one is an error, so the plugin limits its values. InfluxDB drops
    a field named time, and a point without others."""
    assert database.write(f"libvirt_cpu user={LARGEST + 1}i {TIME}\n") == 400
    assert database.write(f"libvirt_cpu,domain_name=a time=1i,user=2i {TIME}\n") == 204
    assert database.write(f"libvirt_cpu,domain_name=b time=1i {TIME}\n") == 400
    (point,) = database.points()
    assert point["fields"] == {"user": 2}


def test_the_plugins_lines_come_back(database):
    """One collection is stored completely, except fields named time; no point replaces another."""
    once = ("-m", "telegraf_execd_libvirt", "--once", "--uri", "test:///default")
    lines = finish(sys.executable, *once)
    expected = [parse_line(line) for line in lines.splitlines()]
    assert {"libvirt_state", "libvirt_block"} <= {point["measurement"] for point in expected}
    for point in expected:
        point["fields"].pop("time", None)
    assert database.write(lines) == 204
    assert in_order(database.points()) == in_order(expected)
