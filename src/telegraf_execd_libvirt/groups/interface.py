"""Group ``interface``: network interfaces of a domain; rx and tx as the domain sees them."""

from __future__ import annotations

from .schema import Group, Metric, counter, text, total

_NET_TOTAL = total("net", "Number of network interfaces", "number of interfaces of the domain")

_NET = Metric(
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
)

GROUP = Group(name="interface", bit=1 << 4, metrics=(_NET_TOTAL, _NET))
