"""The source job: running jobs, and counters of completed ones."""

from __future__ import annotations

from support.scope import FakeScope, Thing, fetched, lines, read
from telegraf_execd_libvirt.sources import SOURCES

COMPLETED = 21


def test_job() -> None:
    """A running job has every parameter of libvirt, times in milliseconds by their name."""
    parameters = {"type": 2, "operation": 5, "time_elapsed": 17, "data_total": 9, "new_thing": 3}
    running = Thing("a", {"jobStats": parameters})
    none, off = Thing("b", {"jobStats": {"type": 0}}), Thing("c", number=-1)
    hung = Thing("d", {"jobStats": parameters}, hangs=True)
    scope = FakeScope(running, none, off, hung, Thing("failing"))
    assert read("job", scope) == [
        "libvirt_job,domain_name=a,operation=migration_out,project=shop "
        "type=2i,time_elapsed_ms=17i,data_total=9i,new_thing=3i"
    ]
    assert [name for name, _, _ in scope.calls] == ["a", "b", "failing"]


def test_completed_jobs_are_counted() -> None:
    """Completed jobs are counted by operation, also those of a hung domain. A domain that has left
    the host, as after a migration, is written once more."""
    source = SOURCES["job"]
    fetch = source.new()
    domain = Thing("a", hangs=True)
    scope = FakeScope(domain)
    assert fetched(fetch, scope) == []
    assert source.events == (COMPLETED,)
    for success in (True, False):
        done = {"operation": 8, "time_elapsed": 5, "success": success}
        fetch.happened(COMPLETED, domain.uuid, "a", (done,))
    expected = [
        "libvirt_job_completed,domain_name=a,operation=dump,project=shop "
        "count=2i,failed=1i,time_elapsed_ms=10i"
    ]
    assert lines(source, fetched(fetch, scope)) == expected
    scope.things = []
    assert lines(source, fetched(fetch, scope)) == expected
    assert fetched(fetch, scope) == []
    scope.things = [domain]
    assert fetched(fetch, scope) == []
