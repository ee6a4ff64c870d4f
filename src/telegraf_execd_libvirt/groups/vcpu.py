"""Group ``vcpu``: virtual CPUs of a domain, their number and each one."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type
from .vm import kvm_statistics

_HALTED = "whether the vCPU is halted; s390 guests only"

GROUP = Group(
    name="vcpu",
    bit=1 << 3,
    needs_monitor=True,
    metrics=(
        Metric(
            measurement="libvirt_vcpu_total",
            prefix="vcpu",
            help="Number of virtual CPUs",
            fields=(
                Field("current", Type.UINT, Kind.GAUGE, "", "number of online vCPUs"),
                Field("maximum", Type.UINT, Kind.GAUGE, "", "maximum number of vCPUs"),
            ),
        ),
        Metric(
            measurement="libvirt_vcpu",
            prefix="vcpu.<vcpu_id>",
            help="One virtual CPU",
            fields=(
                Field(
                    "state",
                    Type.INT,
                    Kind.GAUGE,
                    "virVcpuState",
                    "0 offline, 1 running, 2 blocked; QEMU reports 1 for each online vCPU",
                ),
                Field("time", Type.ULLONG, Kind.COUNTER, "ns", "CPU time of the vCPU"),
                Field(
                    "time",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "the same as time, for InfluxDB, which reserves the name time",
                    name="cpu_time",
                ),
                Field(
                    "wait",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "waiting time on the host's run queue",
                ),
                Field("halted", Type.YES_NO, Kind.GAUGE, "", _HALTED),
                Field("halted", Type.ONE_ZERO, Kind.GAUGE, "", _HALTED, name="halted_i"),
                Field(
                    "delay",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "steal time: the vCPU was ready and the host ran other tasks",
                ),
                *kvm_statistics("vCPU", full=True),
            ),
        ),
    ),
)
