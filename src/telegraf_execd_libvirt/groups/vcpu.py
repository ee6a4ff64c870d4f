"""Group ``vcpu``: virtual CPUs of a domain, their number and each one."""

from __future__ import annotations

from .schema import Group, Metric, Type, counter, gauge
from .vm import kvm_statistics

_HALTED = "whether the vCPU is halted; s390 guests only"

_VCPU_TOTAL = Metric(
    measurement="libvirt_vcpu_total",
    prefix="vcpu",
    help="Number of virtual CPUs",
    fields=(
        gauge("current", "", "number of online vCPUs", Type.UINT),
        gauge("maximum", "", "maximum number of vCPUs", Type.UINT),
    ),
)

_VCPU = Metric(
    prefix="vcpu.<vcpu_id>",
    help="One virtual CPU",
    fields=(
        gauge(
            "state",
            "virVcpuState",
            "0 offline, 1 running, 2 blocked; QEMU reports 1 for each online vCPU",
            Type.INT,
        ),
        counter("time", "ns", "CPU time of the vCPU"),
        counter(
            "time",
            "ns",
            "the same as time, for InfluxDB, which reserves the name time",
            name="cpu_time",
        ),
        counter("wait", "ns", "waiting time on the host's run queue"),
        gauge("halted", "", _HALTED, Type.YES_NO),
        gauge("halted", "", _HALTED, Type.ONE_ZERO, name="halted_i"),
        counter("delay", "ns", "steal time: the vCPU was ready and the host ran other tasks"),
        *kvm_statistics("vCPU", full=True),
    ),
)

GROUP = Group(name="vcpu", bit=1 << 3, needs_monitor=True, metrics=(_VCPU_TOTAL, _VCPU))
