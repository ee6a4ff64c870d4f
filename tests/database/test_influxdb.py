"""InfluxDB 1.x accepts the plugin's lines, and returns the same names and numbers; queries can use
the tags that are configured."""

import sys

from line_protocol_parser import parse_line

from support.process import finish

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


def collect(*options):
    """The lines of one collection."""
    return finish(sys.executable, "-m", "telegraf_execd_libvirt", "--once", *options)


def configured(path, options):
    """The lines of one collection from a domain with Nova's metadata and devices."""
    path.joinpath("host.xml").write_text(HOST)
    config = path / "plugin.conf"
    config.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "test://{path}/host.xml"\n{options}')
    return collect("--config", str(config))


def in_order(points):
    """The points, sorted."""
    return sorted(points, key=lambda p: (p["measurement"], sorted(p["tags"].items()), p["time"]))


def test_odd_names_come_back(database):
    """The tag of a domain is its name again, whatever characters it has."""
    for encoded in NAMES:
        line = f"libvirt_state,domain_name={encoded},uri=test:///default state=1i {TIME}\n"
        assert database.write(line) == 204
    point = {"measurement": "libvirt_state", "fields": {"state": 1}, "time": TIME}
    tags = [{"domain_name": name, "uri": "test:///default"} for name in NAMES.values()]
    assert in_order(database.points()) == in_order({**point, "tags": each} for each in tags)


def test_values_come_back(database):
    """A field has the same value and type again, with all digits."""
    for number, encoded in enumerate(NUMBERS):
        assert database.write(f"libvirt_cpu,domain_name=a f{number}={encoded} {TIME}\n") == 204
    (point,) = database.points()
    assert point["time"] == TIME
    found = [point["fields"][f"f{number}"] for number in range(len(NUMBERS))]
    right = [*NUMBERS.values()]
    assert (found, [*map(type, found)]) == (right, [*map(type, right)])


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
    lines = collect("--uri", "test:///default")
    expected = [parse_line(line) for line in lines.splitlines()]
    assert {"libvirt_state", "libvirt_block"} <= {point["measurement"] for point in expected}
    for point in expected:
        point["fields"].pop("time", None)
    assert database.write(lines) == 204
    assert in_order(database.points()) == in_order(expected)


def test_cpu_time_can_be_queried(database, tmp_path):
    """No line is refused, also if it has no other field, and the CPU times are there."""
    lines = configured(tmp_path, 'statistics_groups = ["cpu_total", "vcpu"]\n')
    for line in lines.splitlines():
        assert database.write(line + "\n") == 204
    times = [(p["measurement"], p["fields"].get("cpu_time")) for p in database.points()]
    for name, number in (("libvirt_cpu", 2), ("libvirt_vcpu", 3)):
        found = [time for measurement, time in times if measurement == name]
        assert len(found) == number and all(time > 0 for time in found)


def test_queries_group_by_tags(database, tmp_path):
    """Series can be grouped by a project and by a device."""

    def counts(query):
        series = database.query(query).get("series", [])
        return {tuple(one["tags"].values()): one["values"][0][1] for one in series}

    options = 'additional_domain_tags = ["project_name"]\nadditional_device_tags = ["device"]\n'
    assert database.write(configured(tmp_path, options)) == 204
    projects = counts("SELECT count(state) FROM libvirt_state GROUP BY project_name")
    assert projects == {("",): 1, ("the, shop=1",): 1}
    devices = counts("SELECT count(rd_reqs) FROM libvirt_block GROUP BY device")
    assert devices == {("vda",): 1, ("vdb",): 1}
