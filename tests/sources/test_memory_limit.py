"""The source memory_limit: memory limits of domains."""

from __future__ import annotations

from support.scope import FakeScope, Thing, read


def test_memory_limit() -> None:
    """A running domain has every parameter of its limits; 0 is no limit."""
    answers = {
        "memoryParameters": {
            "hard_limit": 2_097_152,
            "soft_limit": 9_007_199_254_740_991,
            "swap_hard_limit": 9_007_199_254_740_988,
        }
    }
    scope = FakeScope(Thing("a", answers), Thing("failing"), Thing("off", answers, number=-1))
    assert read("memory_limit", scope) == [
        "libvirt_memory_limit,domain_name=a,project=shop "
        "hard_limit=2097152i,soft_limit=0i,swap_hard_limit=0i"
    ]
