"""InfluxDB 1.x accepts the plugin's lines, and returns the same names and numbers; queries can use
the tags that are configured."""

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


def collect(path, options):
    """The lines of one collection from a domain with Nova's metadata and devices."""
    path.joinpath("host.xml").write_text(HOST)
    config = path / "plugin.conf"
    config.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "test://{path}/host.xml"\n{options}')
    plugin = [sys.executable, "-m", "telegraf_execd_libvirt", "--once", "--config", str(config)]
    return subprocess.run(plugin, capture_output=True, text=True, timeout=60, check=True).stdout


HOST = """<node>
<domain type='test'><name>web</name><memory>1024</memory><vcpu>2</vcpu><os><type>hvm</type></os>
<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:owner>
<nova:project uuid='p'>the, shop=1</nova:project></nova:owner></nova:instance></metadata>
<devices>
<disk type='file' device='disk'><source file='/a'/><target dev='vda'/></disk>
<disk type='file' device='disk'><source file='/b'/><target dev='vdb'/></disk>
</devices></domain>
<domain type='test'><name>db</name><memory>1024</memory><os><type>hvm</type></os></domain>
</node>"""


def test_cpu_time_can_be_queried(database, tmp_path):
    """No line is refused, also if it has no other field, and the CPU times are there."""
    lines = collect(tmp_path, 'statistics_groups = ["cpu_total", "vcpu"]\n')
    assert "libvirt_vcpu," in lines and "libvirt_cpu," in lines
    for line in lines.splitlines():
        assert database.write(line + "\n") == 204
    found = {}
    for point in database.points():
        found.setdefault(point["measurement"], []).append(point["fields"].get("cpu_time"))
    assert len(found["libvirt_cpu"]) == 2 and len(found["libvirt_vcpu"]) == 3
    assert all(value > 0 for name in ("libvirt_cpu", "libvirt_vcpu") for value in found[name])
    alone = f"libvirt_cpu,domain_name=other time=1i,cpu_time=1i {TIME}\n"
    assert database.write(alone) == 204


def test_queries_group_by_tags(database, tmp_path):
    """Series can be grouped by a project and by a device."""
    lines = collect(
        tmp_path,
        'additional_domain_tags = ["project_name"]\nadditional_device_tags = ["device"]\n',
    )
    assert database.write(lines) == 204
    assert database.groups("SELECT count(state) FROM libvirt_state GROUP BY project_name") == [
        ({"project_name": ""}, 1),
        ({"project_name": "the, shop=1"}, 1),
    ]
    assert database.groups("SELECT count(rd_reqs) FROM libvirt_block GROUP BY device") == [
        ({"device": "vda"}, 1),
        ({"device": "vdb"}, 1),
    ]
