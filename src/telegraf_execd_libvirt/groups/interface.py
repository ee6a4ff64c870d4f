"""Group ``interface``: network interfaces of a domain; rx and tx as the domain sees them."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _counter(key: str, unit: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.COUNTER, unit, help)


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
                Field("name", Type.STRING, Kind.INFO, "", "name on the host, such as vnet0"),
                _counter("rx.bytes", "bytes", "bytes received"),
                _counter("rx.pkts", "packets", "packets received"),
                _counter("rx.errs", "", "receive errors"),
                _counter("rx.drop", "packets", "received packets dropped"),
                _counter("tx.bytes", "bytes", "bytes sent"),
                _counter("tx.pkts", "packets", "packets sent"),
                _counter("tx.errs", "", "transmit errors"),
                _counter("tx.drop", "packets", "transmitted packets dropped"),
            ),
        ),
    ),
)
