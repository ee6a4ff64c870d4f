"""Group ``state``: the state of a domain and its reason."""

from __future__ import annotations

from .schema import Group, Metric, Type, gauge

#: The group ``domain`` has these fields too.
STATE_FIELDS = (
    gauge(
        "state",
        "virDomainState",
        "0 no state, 1 running, 2 blocked, 3 paused, 4 shutting down, 5 shut off, "
        "6 crashed, 7 suspended by the guest's power management",
        Type.INT,
    ),
    gauge(
        "reason", "virDomain*Reason", "reason for the state; each state has its own enum", Type.INT
    ),
)

_STATE = Metric(prefix="state", help="State of the domain", fields=STATE_FIELDS)

GROUP = Group(name="state", bit=1 << 0, metrics=(_STATE,))
