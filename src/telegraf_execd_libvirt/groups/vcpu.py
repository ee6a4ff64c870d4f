"""Group ``vcpu``: the virtual CPUs of a domain, in total and one by one."""

from __future__ import annotations

from ..schema import Field, Group, Kind, Metric, Type
from .vm import kvm_statistics

_HALTED = "whether the vCPU is halted; libvirt tells it for s390 guests only"

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
                Field("current", Type.UINT, Kind.GAUGE, "", "vCPUs that are online"),
                Field("maximum", Type.UINT, Kind.GAUGE, "", "vCPUs that the domain may have"),
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
                    "0 offline, 1 running, 2 blocked; QEMU gives 1 for each that is online",
                ),
                Field("time", Type.ULLONG, Kind.COUNTER, "ns", "CPU time that the vCPU has used"),
                Field(
                    "wait",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "time that the vCPU waited on the host's run queue",
                ),
                Field("halted", Type.YES_NO, Kind.GAUGE, "", _HALTED),
                Field("halted", Type.ONE_ZERO, Kind.GAUGE, "", _HALTED, name="halted_i"),
                Field(
                    "delay",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "time that the vCPU could run and the host ran others; its steal time",
                ),
                *kvm_statistics("vCPU", full=True),
            ),
        ),
    ),
)
