"""Group ``interface``: network interfaces of a domain; rx and tx as the domain sees them."""

from __future__ import annotations

from .schema import Group, Metric, Type, counter, gauge, text

GROUP = Group(
    name="interface",
    bit=1 << 4,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_net_total",
            prefix="net",
            help="Number of network interfaces",
            fields=(gauge("count", "", "number of interfaces of the domain", Type.UINT),),
        ),
        Metric(
            measurement="libvirt_net",
            prefix="net.<interface_id>",
            help="One network interface",
            fields=(
                text("name", "name on the host, such as vnet0"),
                counter("rx.bytes", "bytes", "bytes received"),
                counter("rx.pkts", "packets", "packets received"),
                counter("rx.errs", "", "receive errors"),
                counter("rx.drop", "packets", "received packets dropped"),
                counter("tx.bytes", "bytes", "bytes sent"),
                counter("tx.pkts", "packets", "packets sent"),
                counter("tx.errs", "", "transmit errors"),
                counter("tx.drop", "packets", "transmitted packets dropped"),
            ),
        ),
    ),
)
