"""The identity of a domain out of its XML: tags of its lines and devices, texts of its summary."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.identity import DEVICE_TAGS, DOMAIN_TAGS
from telegraf_execd_libvirt.domain.xml import MetadataTag, clean

NOVA = "http://openstack.org/xmlns/libvirt/nova/"
ONE = "http://opennebula.org/xmlns/libvirt/1.0"

INSTANCE = """
  <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/{version}">
    <nova:package version="27.1.0"/>
    <nova:name>web one</nova:name>
    <nova:creationTime>2025-01-02 03:04:05</nova:creationTime>
    <nova:flavor name="m1.small"><nova:memory>2048</nova:memory></nova:flavor>
    <nova:owner>
      <nova:user uuid="51efb1">alice</nova:user>
      <nova:project uuid="844cca">shop</nova:project>
    </nova:owner>
    <nova:root type="image" uuid="c0ffee"/>
    <nova:ports>
      <nova:port uuid=""/>
      <nova:port uuid="p1"><nova:ip type="fixed" address="10.0.0.5"/></nova:port>
      <nova:port uuid="p2"/>
    </nova:ports>
  </nova:instance>"""

OPENNEBULA = f"""
  <one:vm xmlns:one="{ONE}">
    <one:system_datastore><![CDATA[/var/lib/one/datastores/0/42]]></one:system_datastore>
    <one:name>one-42</one:name>
    <one:uname>bob</one:uname>
  </one:vm>"""

DEVICES = """
  <devices>
    <disk type='file' device='disk'>
      <source file='/images/a.qcow2' index='1'/><target dev='vda' bus='virtio'/>
      <serial>WD-1</serial>
    </disk>
    <disk type='block' device='disk'><source dev='/dev/sdb'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'/>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:00:00:aa' currentAddress='52:54:00:00:00:02'/>
      <source network='default' bridge='virbr0'/>
      <target dev='vnet1'/>
    </interface>
    <interface type='network'><source network='default'/><target dev='vnet2'/></interface>
    <interface type='direct'>
      <source dev='eth0' mode='bridge'/><target dev='macvtap0'/>
    </interface>
    <interface type='user'><mac address='52:54:00:00:00:03'/></interface>
    <interface type='ethernet'><target dev='tap7'/></interface>
  </devices>"""


def domain(metadata: str = "", title: str = "", devices: str = DEVICES) -> str:
    """The XML of a domain, as libvirt writes it."""
    return f"""<domain type='kvm' id='3'>
  <name>d</name>
  <uuid>c7a5fdbd-cdaf-9455-926a-d65c16db1809</uuid>
  <title>{escape(title)}</title>
  <metadata>{metadata}</metadata>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>{devices}
</domain>"""


def read(xml: str, **options: Any) -> Any:
    """The identity of a domain under a configuration."""
    return HypervisorConfig(**options).identities.read(xml)


def metadata_tag(xml: str, namespace: str, path: str) -> Any:
    """The value of one metadata tag, or None."""
    tags = read(xml, metadata_tags=(MetadataTag(namespace, path, "t"),)).tags
    assert set(tags) <= {"t"}
    return tags.get("t")


def nova(version: str = "1.1") -> str:
    return INSTANCE.format(version=version)


UUID = {"uuid": "c7a5fdbd-cdaf-9455-926a-d65c16db1809"}
OPENSTACK = {
    **{"instance_name": "web one", "project_id": "844cca", "project_name": "shop"},
    **{"user_id": "51efb1", "user_name": "alice", "flavor_name": "m1.small", "image_id": "c0ffee"},
}


@pytest.mark.parametrize(
    ("metadata", "tags"),
    [
        (nova("1.0"), OPENSTACK),
        (nova("1.1"), OPENSTACK),
        (nova("2.0"), {}),
        (OPENNEBULA, {}),
        ("", {}),
    ],
)
def test_tags_of_a_domain(metadata: str, tags: dict[str, str]) -> None:
    """They come from the domain and from Nova's metadata of either namespace; an empty title gives
    none. Tags are opt-in, one by one."""
    every = tuple(DOMAIN_TAGS)
    found = read(domain(metadata, "Web server 1"), additional_domain_tags=every).tags
    assert found == {**UUID, "title": "Web server 1", **tags}
    assert read(domain(metadata), additional_domain_tags=every).tags == {**UUID, **tags}
    one = read(domain(metadata), additional_domain_tags=("user_name",))
    assert one.tags == {name: tags[name] for name in tags if name == "user_name"}
    assert read(domain(metadata)).tags == read(domain(metadata)).devices == {}


def test_tags_of_devices() -> None:
    """Each device has the tags that its XML has values for."""
    assert read(domain(), additional_device_tags=tuple(DEVICE_TAGS)).devices == {
        "block": [
            ("vda", {"device": "vda", "serial": "WD-1"}),
            ("vdb", {"device": "vdb"}),
            ("", {}),
        ],
        "net": [
            ("vnet0", {"interface": "vnet0", "mac": "52:54:00:00:00:01", "bridge": "br0"}),
            ("vnet1", {"interface": "vnet1", "mac": "52:54:00:00:00:02", "bridge": "virbr0"}),
            ("vnet2", {"interface": "vnet2", "bridge": "default"}),
            ("macvtap0", {"interface": "macvtap0", "bridge": "eth0"}),
            ("", {"mac": "52:54:00:00:00:03"}),
            ("tap7", {"interface": "tap7"}),
        ],
    }
    found = read(domain(), additional_device_tags=("serial",)).devices
    assert found == {"block": [("vda", {"serial": "WD-1"}), ("vdb", {}), ("", {})]}


def test_info_of_the_summary() -> None:
    """The texts of the summary are there whatever tags are configured; empty ones are not, and
    what is not in the XML gives nothing."""
    texts = {**UUID, "title": "T", "os_type": "hvm", "machine": "pc-q35-7.2"}
    assert read(domain(title="T")).info == texts
    assert read("<domain><os><type>linux</type></os></domain>").info == {"os_type": "linux"}
    found = read(
        "<domain/>",
        additional_domain_tags=tuple(DOMAIN_TAGS),
        additional_device_tags=tuple(DEVICE_TAGS),
        metadata_tags=(MetadataTag("n", "a/b/@c", "t"),),
    )
    assert (found.tags, found.devices, found.info) == ({}, {"block": [], "net": []}, {})


CHANNEL = "<channel><target name='{}' state='{}'/></channel>"
AGENT = "org.qemu.guest_agent.0"


@pytest.mark.parametrize(
    ("devices", "info"),
    [
        (CHANNEL.format(AGENT, "connected"), {"agent_connected": 1}),
        (CHANNEL.format(AGENT, "disconnected"), {"agent_connected": 0}),
        (CHANNEL.format("other", "connected"), {}),
        (f"<channel><target name='{AGENT}'/></channel>", {}),
        (
            "<memballoon model='virtio'><stats period='10'/></memballoon>",
            {"memballoon": "virtio", "balloon_period": 10},
        ),
        ("<memballoon model='virtio'/>", {"memballoon": "virtio", "balloon_period": 0}),
        ("<memballoon model='none'/>", {"memballoon": "none"}),
    ],
)
def test_agent_and_balloon(devices: str, info: dict[str, object]) -> None:
    """A guest that does not run has no state of its agent; a balloon may have no period."""
    assert read(f"<domain><devices>{devices}</devices></domain>").info == info


#: Metadata of three applications: with a prefix, without one, and twice the same element.
APPS = (
    '<a:app xmlns:a="urn:a" a:role="db"><site>brno</site><b xmlns="urn:b">x</b></a:app>'
    '<app xmlns="urn:c"/><app xmlns="urn:c"><site>brno</site></app>'
)


@pytest.mark.parametrize(
    ("namespace", "path", "value"),
    [
        (f"{NOVA}1.1", "instance/name", "web one"),
        (f"{NOVA}1.1", "instance/owner/project", "shop"),
        (f"{NOVA}1.1", "instance/owner/project/@uuid", "844cca"),
        (f"{NOVA}1.1", "instance/package/@version", "27.1.0"),
        (f"{NOVA}1.1", "instance/ports/port/@uuid", "p1"),
        (f"{NOVA}1.1", "instance/ports/port/ip/@address", "10.0.0.5"),
        (f"{NOVA}1.1", "instance/owner", None),
        (f"{NOVA}1.1", "instance/Name", None),
        (f"{NOVA}1.1", "instance/owner/project/@id", None),
        (f"{NOVA}1.1", "owner/project", None),
        (f"{NOVA}1.1", "name", None),
        (f"{NOVA}1.1", "instance", None),
        (ONE, "vm/uname", "bob"),
        (ONE, "vm/system_datastore", "/var/lib/one/datastores/0/42"),
        (ONE, "instance/name", None),
        (f"{NOVA}1.0", "instance/name", None),
        ("", "instance/name", None),
        ("urn:a", "app/site", "brno"),
        ("urn:a", "app/@role", "db"),
        ("urn:a", "app/b", None),
        ("urn:c", "app/site", "brno"),
    ],
)
def test_values_in_metadata(namespace: str, path: str, value: object) -> None:
    """The namespace selects the application; below its element no namespace is the same. A path
    begins with the child of <metadata>; the first value that is not empty counts."""
    assert metadata_tag(domain(OPENNEBULA + nova() + APPS), namespace, path) == value


@pytest.mark.parametrize(
    ("title", "value"),
    [
        ("two\nlines\r\nor\tmore", "two lines or more"),
        ("  around \n", "around"),
        ("\n \t", None),
        ('say "no", a=b\\', 'say "no", a=b\\'),
        ("<&>'", "<&>'"),
        ("🐧 漢字", "🐧 漢字"),
        ("x" * 10_000, "x" * 256),
        ("🐧" * 300, "🐧" * 256),
        ("a" * 255 + "  b", "a" * 255),
        ("a\u2028b\u0085c\u007fd", "a b c d"),
    ],
)
def test_hostile_text_is_one_line(title: str, value: object) -> None:
    """A value is one line of at most 256 characters; everything else of it stays."""
    found = read(domain(title=title), additional_domain_tags=("title",))
    assert found.tags.get("title") == value == found.info.get("title")


def test_large_xml() -> None:
    """Up to the limit the size does not matter; huge XML is a ValueError."""
    assert read(domain(title="x" * ((4 << 20) - 3_000))).info["title"] == "x" * 256
    deep = "<a>" * 100_000 + "</a>" * 100_000
    assert read(domain(deep)).info["os_type"] == "hvm"
    for letters in ("x" * (4 << 20), "ž" * (2 << 20)):
        with pytest.raises(ValueError, match="larger than 4 MiB"):
            read(domain(title=letters))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_values_come_back(text: str) -> None:
    """Text and attributes that XML can hold come back, whatever they are."""
    text = text.replace("\ufffe", "").replace("\uffff", "")
    metadata = f'<m:m xmlns:m="urn:m" a={quoteattr(text)}>{escape(text)}</m:m>'
    for path in ("m", "m/@a"):
        assert metadata_tag(domain(metadata), "urn:m", path) == (clean(text) or None)
