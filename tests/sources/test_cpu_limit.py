"""The source cpu_limit: CPU limits of domains."""

from __future__ import annotations

from support.scope import FakeScope, Thing, read


def test_cpu_limit() -> None:
    """A running domain has every parameter of its limits; a quota that limits nothing is 0."""
    answers = {
        "schedulerParameters": {
            "cpu_shares": 100,
            "vcpu_period": 100_000,
            "vcpu_quota": 50_000,
            "emulator_quota": -1,
            "global_quota": 18_446_744_073_709_551,
            "iothread_quota": 17_592_186_044_415,
            "new": 3,
        }
    }
    scope = FakeScope(Thing("a", answers), Thing("failing"), Thing("off", answers, number=-1))
    assert read("cpu_limit", scope) == [
        "libvirt_cpu_limit,domain_name=a,project=shop cpu_shares=100i,vcpu_period=100000i,"
        "vcpu_quota=50000i,emulator_quota=0i,iothread_quota=0i,"
        "global_quota=0i,new=3i"
    ]
