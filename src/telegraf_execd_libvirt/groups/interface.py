"""Group ``interface``: the network interfaces of a domain, as the domain sees rx and tx."""

from __future__ import annotations

from ..schema import Field, Group, Kind, Metric, Type


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
            fields=(Field("count", Type.UINT, Kind.GAUGE, "", "interfaces of the domain"),),
        ),
        Metric(
            measurement="libvirt_net",
            prefix="net.<interface_id>",
            help="One network interface",
            fields=(
                Field("name", Type.STRING, Kind.INFO, "", "the host's name of it, such as vnet0"),
                _counter("rx.bytes", "bytes", "received"),
                _counter("rx.pkts", "packets", "received"),
                _counter("rx.errs", "", "errors while receiving"),
                _counter("rx.drop", "packets", "dropped while receiving"),
                _counter("tx.bytes", "bytes", "sent"),
                _counter("tx.pkts", "packets", "sent"),
                _counter("tx.errs", "", "errors while sending"),
                _counter("tx.drop", "packets", "dropped while sending"),
            ),
        ),
    ),
)
