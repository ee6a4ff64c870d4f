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
      <mac address='52:54:00:00:00:02'/><source network='default' bridge='virbr0'/>
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


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_tags_of_an_openstack_domain(version: str) -> None:
    """All tags come from the domain and from Nova's metadata of either namespace."""
    xml = domain(nova(version), "Web server 1")
    assert read(xml, additional_domain_tags=tuple(DOMAIN_TAGS)).tags == {
        "uuid": "c7a5fdbd-cdaf-9455-926a-d65c16db1809",
        "title": "Web server 1",
        "instance_name": "web one",
        "project_id": "844cca",
        "project_name": "shop",
        "user_id": "51efb1",
        "user_name": "alice",
        "flavor_name": "m1.small",
        "image_id": "c0ffee",
    }


@pytest.mark.parametrize("metadata", ["", OPENNEBULA, nova("2.0")])
def test_other_metadata_gives_no_tags(metadata: str) -> None:
    """Without Nova's metadata only the domain's own tags are there; an empty title gives none."""
    tags = read(domain(metadata), additional_domain_tags=tuple(DOMAIN_TAGS)).tags
    assert tags == {"uuid": "c7a5fdbd-cdaf-9455-926a-d65c16db1809"}


def test_only_configured_tags_are_read() -> None:
    """Tags are opt-in, one by one."""
    assert read(domain(nova())).tags == {}
    assert read(domain(nova())).devices == {}
    assert read(domain(nova()), additional_domain_tags=("user_name",)).tags == {
        "user_name": "alice"
    }
    found = read(domain(), additional_device_tags=("serial",)).devices
    assert found == {"block": [("vda", {"serial": "WD-1"}), ("vdb", {}), ("", {})]}


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


def test_info_of_the_summary() -> None:
    """The texts of the summary are there whatever tags are configured; empty ones are not."""
    assert read(domain(title="T")).info == {
        "uuid": "c7a5fdbd-cdaf-9455-926a-d65c16db1809",
        "title": "T",
        "os_type": "hvm",
        "machine": "pc-q35-7.2",
    }
    assert read("<domain><os><type>linux</type></os></domain>").info == {"os_type": "linux"}


def test_a_domain_without_anything() -> None:
    """What is not in the XML gives nothing."""
    every = {
        "additional_domain_tags": tuple(DOMAIN_TAGS),
        "additional_device_tags": tuple(DEVICE_TAGS),
        "metadata_tags": (MetadataTag("n", "a/b/@c", "t"),),
    }
    found = read("<domain/>", **every)
    assert (found.tags, found.devices, found.info) == ({}, {"block": [], "net": []}, {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("instance/name", "web one"),
        ("instance/owner/project", "shop"),
        ("instance/owner/project/@uuid", "844cca"),
        ("instance/package/@version", "27.1.0"),
        ("instance/ports/port/@uuid", "p1"),
        ("instance/ports/port/ip/@address", "10.0.0.5"),
        ("instance/owner", None),
        ("instance/Name", None),
        ("instance/owner/project/@id", None),
        ("owner/project", None),
        ("name", None),
        ("instance", None),
    ],
)
def test_path_in_metadata(path: str, value: object) -> None:
    """A path begins with the child of <metadata>; the first value that is not empty counts."""
    assert metadata_tag(domain(OPENNEBULA + nova()), f"{NOVA}1.1", path) == value


def test_namespace_of_metadata() -> None:
    """The namespace selects the application; below its element no namespace is the same."""
    xml = domain(OPENNEBULA + nova())
    assert metadata_tag(xml, ONE, "vm/uname") == "bob"
    assert metadata_tag(xml, ONE, "vm/system_datastore") == "/var/lib/one/datastores/0/42"
    assert metadata_tag(xml, ONE, "instance/name") is None
    assert metadata_tag(xml, f"{NOVA}1.0", "instance/name") is None
    assert metadata_tag(xml, "", "instance/name") is None
    bare = domain(
        '<a:app xmlns:a="urn:a" a:role="db"><site>brno</site><b xmlns="urn:b">x</b></a:app>'
    )
    assert metadata_tag(bare, "urn:a", "app/site") == "brno"
    assert metadata_tag(bare, "urn:a", "app/@role") == "db"
    assert metadata_tag(bare, "urn:a", "app/b") is None
    twice = domain('<app xmlns="urn:a"/><app xmlns="urn:a"><site>brno</site></app>')
    assert metadata_tag(twice, "urn:a", "app/site") == "brno"


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


@pytest.mark.parametrize(
    ("xml", "problem"),
    [
        ("", "cannot be read"),
        ("<domain>", "cannot be read"),
        ("no xml", "cannot be read"),
        ("<domain>&b;</domain>", "cannot be read"),
        ("<domain><n:a/></domain>", "cannot be read"),
        ("<!DOCTYPE domain><domain/>", "document type"),
        ('<!DOCTYPE d SYSTEM "file:///etc/passwd"><domain/>', "document type"),
        (
            "<!DOCTYPE d ["
            + '<!ENTITY l0 "ha">'
            + "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
            + "]><domain><title>&l9;</title></domain>",
            "document type",
        ),
        (domain(title="x" * (4 << 20)), "larger than 4 MiB"),
        (domain(title="ž" * (2 << 20)), "larger than 4 MiB"),
        ("<domain>\ud800</domain>", "surrogates"),
    ],
    ids=lambda value: value[:20],
)
def test_xml_that_is_not_libvirts_is_refused(xml: str, problem: str) -> None:
    """Broken, hostile and huge XML is a ValueError and nothing else."""
    with pytest.raises(ValueError, match=problem):
        read(xml)


def test_large_xml_is_read() -> None:
    """Up to the limit the size does not matter."""
    assert read(domain(title="x" * 4_000_000)).info["title"] == "x" * 256
    deep = "<a>" * 100_000 + "</a>" * 100_000
    assert read(domain(deep)).info["os_type"] == "hvm"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_values_come_back(text: str) -> None:
    """Text and attributes that XML can hold come back, whatever they are."""
    text = text.replace("\ufffe", "").replace("\uffff", "")
    metadata = f'<m:m xmlns:m="urn:m" a={quoteattr(text)}>{escape(text)}</m:m>'
    for path in ("m", "m/@a"):
        assert metadata_tag(domain(metadata), "urn:m", path) == (clean(text) or None)
