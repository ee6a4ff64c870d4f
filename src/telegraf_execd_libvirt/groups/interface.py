"""Group ``interface``: network interfaces of a domain; rx and tx as the domain sees them."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type, counter, text

GROUP = Group(
    name="interface",
    bit=1 << 4,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_net_total",
            prefix="net",
            help="Number of network interfaces",
            fields=(
                Field("count", Type.UINT, Kind.GAUGE, "", "number of interfaces of the domain"),
            ),
        ),
        Metric(
            measurement="libvirt_net",
            prefix="net.<interface_id>",
            help="One network interface",
            fields=(
                text("name", "name on the host, such as vnet0"),
                counter("rx.bytes", "bytes received", "bytes"),
                counter("rx.pkts", "packets received", "packets"),
                counter("rx.errs", "receive errors"),
                counter("rx.drop", "received packets dropped", "packets"),
                counter("tx.bytes", "bytes sent", "bytes"),
                counter("tx.pkts", "packets sent", "packets"),
                counter("tx.errs", "transmit errors"),
                counter("tx.drop", "transmitted packets dropped", "packets"),
            ),
        ),
    ),
)
