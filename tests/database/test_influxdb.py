"""InfluxDB 1.x accepts the plugin's lines, and returns the same names and numbers."""

import subprocess
import sys

import pytest
from line_protocol_parser import parse_line

TIME = 1700000000123456789
LARGEST = 9223372036854775807

# Encoded by hand, with their meaning.
NAMES = {
    r"web\ server": "web server",
    r"a\,b\,\,c": "a,b,,c",
    r"vcpu\=2": "vcpu=2",
    '"quoted"': '"quoted"',
    r"back\slash\\twice": r"back\slash\\twice",
    r"back\slash\ \,not\=the\\\ end": r"back\slash ,not=the\\ end",
    "Žlutý-漢字-😀": "Žlutý-漢字-😀",
}
NUMBERS = {
    f"{LARGEST}i": LARGEST,
    f"{-LARGEST - 1}i": -LARGEST - 1,
    "0i": 0,
    "9007199254740993i": 2**53 + 1,
    "0.1": 0.1,
    "1e-300": 1e-300,
    "true": True,
    r'"say \"no\" to C:\\, ok=1"': r'say "no" to C:\, ok=1',
}


def in_order(points):
    """The points, sorted."""
    return sorted(points, key=lambda p: (p["measurement"], sorted(p["tags"].items()), p["time"]))


@pytest.mark.parametrize("encoded", NAMES)
def test_odd_names_come_back(database, encoded):
    """The tag of a domain is its name again, whatever characters it has."""
    line = f"libvirt_state,domain_name={encoded},uri=test:///default state=1i {TIME}\n"
    assert database.write(line) == 204
    assert database.points() == [
        {
            "measurement": "libvirt_state",
            "tags": {"domain_name": NAMES[encoded], "uri": "test:///default"},
            "fields": {"state": 1},
            "time": TIME,
        }
    ]


@pytest.mark.parametrize("encoded", NUMBERS)
def test_values_come_back(database, encoded):
    """A field has the same value and type again, with all digits."""
    assert database.write(f"libvirt_cpu,domain_name=a user={encoded} {TIME}\n") == 204
    (point,) = database.points()
    assert point["fields"] == {"user": NUMBERS[encoded]}
    assert type(point["fields"]["user"]) is type(NUMBERS[encoded])
    assert point["time"] == TIME


def test_too_large_an_integer_is_rejected(database):
    """An integer above the largest one is an error, so the plugin limits its values."""
    assert database.write(f"libvirt_cpu user={LARGEST + 1}i {TIME}\n") == 400
    assert database.points() == []


def test_a_field_named_time_is_lost(database):
    """InfluxDB reserves the name time: it drops such a field, and a point without others."""
    assert database.write(f"libvirt_cpu,domain_name=a time=1i,user=2i {TIME}\n") == 204
    assert database.write(f"libvirt_cpu,domain_name=b time=1i {TIME}\n") == 400
    (point,) = database.points()
    assert point["fields"] == {"user": 2}


def test_the_plugins_lines_come_back(database):
    """One collection is stored completely, except fields named time; no point replaces another."""
    plugin = [sys.executable, "-m", "telegraf_execd_libvirt", "--once", "--uri", "test:///default"]
    lines = subprocess.run(plugin, capture_output=True, text=True, timeout=60, check=True).stdout
    expected = [parse_line(line) for line in lines.splitlines()]
    assert {"libvirt_state", "libvirt_block"} <= {point["measurement"] for point in expected}
    for point in expected:
        point["fields"].pop("time", None)
    assert database.write(lines) == 204
    assert in_order(database.points()) == in_order(expected)
