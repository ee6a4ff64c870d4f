"""The source host_cpu: CPU time on each physical CPU."""

from __future__ import annotations

from support.scope import FakeScope, Thing, read


def test_host_cpu() -> None:
    """Each physical CPU has a line."""
    times = [{"cpu_time": 5, "vcpu_time": 4}, {"cpu_time": 7}]
    assert read("host_cpu", FakeScope(Thing("a", {"getCPUStats": times}))) == [
        "libvirt_host_cpu,cpu=0,domain_name=a,project=shop cpu_time=5i,vcpu_time=4i",
        "libvirt_host_cpu,cpu=1,domain_name=a,project=shop cpu_time=7i",
    ]
