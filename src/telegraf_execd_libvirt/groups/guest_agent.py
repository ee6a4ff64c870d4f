"""Additional statistics ``guest_agent``: what the guest's agent reports about the guest itself."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _text(key: str, help: str) -> Field:
    return Field(key, Type.STRING, Kind.INFO, "", help)


GROUP = Group(
    name="guest_agent",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_guest_filesystem",
            prefix="guest_filesystem",
            extra_tags=("mountpoint", "fstype", "device"),
            help="One mounted file system of the guest",
            fields=(
                Field("total_bytes", Type.ULLONG, Kind.GAUGE, "bytes", "size"),
                Field("used_bytes", Type.ULLONG, Kind.GAUGE, "bytes", "used space"),
                Field("used_percent", Type.DOUBLE, Kind.GAUGE, "%", "used space, of the size"),
            ),
        ),
        Metric(
            measurement="libvirt_guest_user",
            prefix="guest_user",
            help="The users who are logged in to the guest",
            fields=(
                Field("count", Type.UINT, Kind.GAUGE, "", "number of users"),
                _text("names", "their names, separated by commas; only with the option users"),
            ),
        ),
        Metric(
            measurement="libvirt_guest_os",
            prefix="guest_os",
            help="The guest's operating system",
            fields=(
                _text("hostname", "host name"),
                _text("id", "short name of the system, such as debian"),
                _text("name", "name of the system"),
                _text("pretty_name", "name with the version"),
                _text("version", "version as text"),
                _text("version_id", "version as number"),
                _text("variant", "variant, such as Server"),
                _text("variant_id", "short name of the variant"),
                _text("kernel_release", "release of the kernel"),
                _text("kernel_version", "version of the kernel"),
                _text("machine", "hardware name, such as x86_64"),
                _text("timezone", "name of the time zone"),
                Field("timezone_offset_s", Type.INT, Kind.GAUGE, "s", "offset from UTC"),
            ),
        ),
        Metric(
            measurement="libvirt_guest_interface",
            prefix="guest_interface",
            extra_tags=("interface",),
            help="One network interface of the guest, by its name in the guest",
            fields=(
                _text("mac", "MAC address"),
                _text("addresses", "IP addresses with prefixes, separated by commas"),
            ),
        ),
    ),
)
