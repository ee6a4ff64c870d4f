"""Group ``dirtyrate``: the rate at which a domain writes to memory, measured on request."""

from __future__ import annotations

from .schema import Group, Metric, Type, gauge, text

_DIRTYRATE = Metric(
    prefix="dirtyrate",
    help="Last measurement of the dirty rate",
    fields=(
        gauge(
            "calc_status",
            "virDomainDirtyRateStatus",
            "0 not started, 1 measuring, 2 measured",
            Type.INT,
        ),
        gauge(
            "calc_start_time",
            "s",
            "start of the measurement, in seconds of host uptime",
            Type.LLONG,
        ),
        gauge("calc_period", "s", "duration of the measurement", Type.INT),
        gauge(
            "megabytes_per_second",
            "MiB/s",
            "rate of dirtied memory; only after a measurement",
            Type.LLONG,
        ),
        text("calc_mode", "page-sampling, dirty-bitmap or dirty-ring"),
    ),
)

_DIRTYRATE_VCPU = Metric(
    prefix="dirtyrate.vcpu.<vcpu_id>",
    help="Dirty rate of one vCPU, in dirty-ring mode",
    fields=(gauge("megabytes_per_second", "MiB/s", "rate of memory dirtied by the vCPU"),),
)

GROUP = Group(
    name="dirtyrate",
    bit=1 << 9,
    needs_monitor=True,
    monitor_key="dirtyrate.calc_status",
    metrics=(_DIRTYRATE, _DIRTYRATE_VCPU),
)
