"""Group ``dirtyrate``: the rate at which a domain writes to memory, measured on request."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="dirtyrate",
    bit=1 << 9,
    needs_monitor=True,
    monitor_key="dirtyrate.calc_status",
    metrics=(
        Metric(
            measurement="libvirt_dirtyrate",
            prefix="dirtyrate",
            help="Last measurement of the dirty rate",
            fields=(
                Field(
                    "calc_status",
                    Type.INT,
                    Kind.GAUGE,
                    "virDomainDirtyRateStatus",
                    "0 not started, 1 measuring, 2 measured",
                ),
                Field(
                    "calc_start_time",
                    Type.LLONG,
                    Kind.GAUGE,
                    "s",
                    "start of the measurement, in seconds of host uptime",
                ),
                Field("calc_period", Type.INT, Kind.GAUGE, "s", "duration of the measurement"),
                Field(
                    "megabytes_per_second",
                    Type.LLONG,
                    Kind.GAUGE,
                    "MiB/s",
                    "rate of dirtied memory; only after a measurement",
                ),
                Field(
                    "calc_mode",
                    Type.STRING,
                    Kind.INFO,
                    "",
                    "page-sampling, dirty-bitmap or dirty-ring",
                ),
            ),
        ),
        Metric(
            measurement="libvirt_dirtyrate_vcpu",
            prefix="dirtyrate.vcpu.<vcpu_id>",
            help="Dirty rate of one vCPU, in dirty-ring mode",
            fields=(
                Field(
                    "megabytes_per_second",
                    Type.ULLONG,
                    Kind.GAUGE,
                    "MiB/s",
                    "rate of memory dirtied by the vCPU",
                ),
            ),
        ),
    ),
)
