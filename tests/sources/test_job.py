"""The source job: running jobs, and counters of completed ones."""

from __future__ import annotations

from pytest_mock import MockerFixture

from support.scope import FakeScope, Thing, fetched, lines, read
from telegraf_execd_libvirt.sources import SOURCES

COMPLETED = 21


def test_job() -> None:
    """A running job has every parameter of libvirt, times in milliseconds by their name."""
    parameters = {"type": 2, "operation": 5, "time_elapsed": 17, "new_thing": 3}
    parameters.update(data_total=8, data_remaining=2)
    running = Thing("a", {"jobStats": parameters})
    none, off = Thing("b", {"jobStats": {"type": 0}}), Thing("c", number=-1)
    hung = Thing("d", {"jobStats": parameters}, hangs=True)
    scope = FakeScope(running, none, off, hung, Thing("failing"))
    assert read("job", scope) == [
        "libvirt_job,domain_name=a,operation=migration_out,project=shop "
        "type=2i,progress_percent=75,time_elapsed_ms=17i,data_total=8i,data_remaining=2i,"
        "new_thing=3i"
    ]
    assert [name for name, _, _ in scope.calls] == ["a", "b", "failing"]


def test_completed_jobs_are_counted(mocker: MockerFixture) -> None:
    """Completed jobs are counted by operation, also those of a hung domain, with what is known of
    the last one. A domain that has left
    the host, as after a migration, is written once more."""
    source = SOURCES["job"]
    fetch = source.new()
    domain = Thing("a", hangs=True)
    scope = FakeScope(domain)
    assert fetched(fetch, scope) == []
    assert source.events == (COMPLETED,)
    mocker.patch("time.time", return_value=1700.5)
    for done in ({"success": True, "memory_total": 7}, {"success": False, "downtime": 3}):
        fetch.happened(COMPLETED, domain.uuid, "a", ({"operation": 8, "time_elapsed": 5, **done},))
    expected = [
        "libvirt_job_completed,domain_name=a,operation=dump,project=shop count=2i,failed=1i,"
        "time_elapsed_ms=10i,last=1700i,last_time_elapsed_ms=5i,last_downtime_ms=3i"
    ]
    assert lines(source, fetched(fetch, scope)) == expected
    scope.things = []
    assert lines(source, fetched(fetch, scope)) == expected
    assert fetched(fetch, scope) == []
    scope.things = [domain]
    assert fetched(fetch, scope) == []
