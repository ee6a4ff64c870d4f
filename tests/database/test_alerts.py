"""The alerts fire for what they are about and for nothing else, in both languages."""

import json
import re

import pytest

from support.documents import load_script
from support.example_fleet import END
from support.expected_panels import key
from support.fleet import Disk, Fleet, Guest, Host
from support.fleet_lines import SHOWN_SOURCES, lines
from support.grafana import FOLDER, LANGUAGES, Period, seconds
from support.missing import needed
from support.process import finish

RULES = FOLDER / "alerts" / "libvirt-rules.yml"
ALERTS = {alert.name: alert for alert in load_script("panels.alerts").ALERTS}

# What is wrong with the fleet of special cases.
EXPECTED = {
    "LibvirtHypervisorUnreadable": {"kvm3 qemu+tls://kvm3/system"},
    "LibvirtCollectionStale": {"kvm4 qemu:///system"},
    "LibvirtCollectionSlow": {"kvm2 qemu:///system"},
    "LibvirtCallsHang": {"kvm2 qemu:///system"},
    "LibvirtGuestCrashed": {"kvm2 crashed"},
    "LibvirtGuestPausedByIoError": {"kvm2 full"},
    "LibvirtGuestNotResponding": {"kvm2 hung", "kvm2 locked"},
    "LibvirtGuestSteal": {"kvm1 web-1"},
    "LibvirtGuestMemoryPressure": {"kvm1 tight"},
    "LibvirtGuestDiskLatency": {"kvm1 slow-disk"},
    "LibvirtGuestNetworkDrops": {"kvm1 web-1"},
    "LibvirtSourceFailing": {
        "kvm2 qemu:///system block_job",
        *(f"kvm3 qemu+tls://kvm3/system {source}" for source in SHOWN_SOURCES),
    },
    "LibvirtGuestDiskError": {"kvm2 full"},
    "LibvirtGuestJobFailed": {"kvm2 idle backup"},
    "LibvirtGuestBlockJobFailed": {"kvm1 web-1 vda copy"},
    "LibvirtGuestNotRunning": {"kvm1 off"},
    "LibvirtStoragePoolNearlyFull": {"kvm1 default"},
    "LibvirtGuestFilesystemNearlyFull": {"kvm1 web-1 /"},
    "LibvirtGuestRestartsRepeatedly": {"kvm1 looping"},
}

#: Far from the times of other fleets in the same VictoriaMetrics.
NOW = END + 60 * 86_400

in_both = pytest.mark.parametrize("filled", ["database", "victoria_metrics"], indirect=True)


def firing(source, name, now):
    """The series for which an alert's condition holds; they have the labels that its text names."""
    alert = ALERTS[name]
    if source.language == "promql":
        labels = [each["metric"] for each in source.database.instant(alert.promql, now)]
    else:
        operator, limit = alert.condition.split()
        holds = {">": lambda value: value > float(limit), "<": lambda value: value < float(limit)}
        series = source.select(alert.influxql, Period(now - seconds(alert.period), now))
        labels = [each.labels for each in series if holds[operator](each.last)]
    named = re.findall(r"\$labels\.(\w+)", alert.summary)
    assert all(each.keys() >= {*named} for each in labels)
    return {key(each) for each in labels}


def test_every_alert_is_tested():
    """Each alert has an expected cause, and a firing and a silent case."""
    assert set(ALERTS) == set(EXPECTED) == set(CASES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", EXPECTED)
def test_special_cases(source, language, name):
    """The condition holds for exactly the series that are at fault."""
    assert firing(source, name, END) == EXPECTED[name]


@in_both
@pytest.mark.parametrize(("step", "age"), [(60, 50), (60, 1), (10, 9)])
def test_a_host_that_writes_is_not_stale(filled, step, age):
    """Evaluated each minute, also just after an interval of 2 minutes has begun."""
    last = NOW + 600 - age
    fleet = Fleet(hosts=(Host(f"steady-{step}-{age}"), Host("ended", last=NOW - 900)), guests=())
    source = filled(lines(fleet, last - (5400 // step) * step, last, step))
    for now in range(NOW, NOW + 601, 60):
        for moment in (0, 1, 59 if now < NOW + 600 else 0):
            found = firing(source, "LibvirtCollectionStale", now + moment)
            assert found == {"ended qemu:///system"}, now + moment - NOW


@in_both
def test_latency_of_slow_requests_on_several_disks(filled):
    """The requests of all disks together are enough, and no disk of its own has as many."""
    slow = {"writes": 0, "read_ns": 500 * 10**6}
    guests = (
        Guest("three", "disks", disks=[Disk(f"vd{n}", reads=0.8, **slow) for n in "abc"]),
        Guest("one", "disks", disks=[Disk(reads=0.8, **slow)]),
        Guest("two", "disks", disks=[Disk(reads=0.3, **slow), Disk("vdb", reads=0.5, **slow)]),
    )
    fleet = Fleet(hosts=(Host("disks"),), guests=guests)
    source = filled(lines(fleet, NOW - 7200 - 900, NOW - 7200, 10))
    assert firing(source, "LibvirtGuestDiskLatency", NOW - 7200) == {"disks three"}


NODE, GUEST = 'host="a", libvirt_uri="u"', 'host="a", domain_name="d"'
FULL = "91 _x9 91 _x9 91 _x9 91 _x9 91"

#: Series with their values in each minute, as promtool writes them: in the case in which the alert
#: fires, and in a similar one in which it is silent.
CASES = {
    "LibvirtHypervisorUnreadable": {f"health_up{{{NODE}}}": ("0x60", "1x60")},
    "LibvirtCollectionStale": {f"health_up{{{NODE}}}": ("1x10", "1x60")},
    "LibvirtCollectionSlow": {
        f"health_collect_time_ns{{{NODE}}}": ("7000000000x60", "1000000000x60")
    },
    "LibvirtCallsHang": {f"health_calls_hanging{{{NODE}}}": ("2x60", "0x60")},
    "LibvirtGuestCrashed": {f"state_state{{{GUEST}}}": ("6x60", "1x60")},
    "LibvirtGuestPausedByIoError": {
        f"state_state{{{GUEST}}}": ("3x60", "1x60"),
        f"state_reason{{{GUEST}}}": ("5x60", "5x60"),
    },
    "LibvirtGuestNotResponding": {f"domain_health_complete{{{GUEST}}}": ("0x60", "0x10")},
    "LibvirtGuestSteal": {
        f'vcpu_delay{{{GUEST}, vcpu_id="0"}}': ("0+12000000000x60", "0+10000000000x60"),
        f'vcpu_delay{{{GUEST}, vcpu_id="3"}}': ("0+12000000000x60", "0x60"),
    },
    "LibvirtGuestMemoryPressure": {
        f"balloon_usable{{{GUEST}}}": ("4x60", "4x60"),
        f"balloon_available{{{GUEST}}}": ("100x60", "100x60"),
        f"balloon_last_update{{{GUEST}}}": ("0+60x60", "0x60"),
        f"balloon_major_fault{{{GUEST}}}": ("0+600x60", "0+600x60"),
        f"balloon_swap_out{{{GUEST}}}": ("0x60", "0x60"),
    },
    "LibvirtGuestDiskLatency": {
        f'block_rd_times{{{GUEST}, block_id="0"}}': ("0+120000000000x60", "0+6000000000x60"),
        f'block_wr_times{{{GUEST}, block_id="0"}}': ("0x60", "0x60"),
        f'block_rd_reqs{{{GUEST}, block_id="0"}}': ("0+600x60", "0+6x60"),
        f'block_wr_reqs{{{GUEST}, block_id="0"}}': ("0x60", "0x60"),
    },
    "LibvirtGuestNetworkDrops": {
        f'net_{way}_drop{{{GUEST}, interface_id="0"}}': ("0+400x60", "0+200x60")
        for way in ("rx", "tx")
    },
    "LibvirtSourceFailing": {f'source_health_up{{{NODE}, source="job"}}': ("0x60", "1x60")},
    "LibvirtGuestDiskError": {f"disk_error_total_count{{{GUEST}}}": ("1x60", "0x60")},
    "LibvirtGuestJobFailed": {
        f'job_completed_failed{{{GUEST}, operation="backup"}}': ("_x9 1x50", "0x60")
    },
    "LibvirtGuestBlockJobFailed": {
        f'block_job_completed_failed{{{GUEST}, device="vda", type="copy"}}': ("_x9 1x50", "0x60")
    },
    "LibvirtGuestNotRunning": {
        f"domain_autostart{{{GUEST}}}": ("1x60", "1x60"),
        f"domain_state{{{GUEST}}}": ("5x60", "5x60"),
        f"domain_reason{{{GUEST}}}": ("1x60", "4x60"),
    },
    "LibvirtStoragePoolNearlyFull": {
        'storage_pool_used_percent{host="a", pool="p", type="dir"}': (FULL, "89x60")
    },
    "LibvirtGuestFilesystemNearlyFull": {
        f'guest_filesystem_used_percent{{{GUEST}, mountpoint="/"}}': (FULL, "89x60")
    },
    "LibvirtGuestRestartsRepeatedly": {
        f"cpu_cpu_time{{{GUEST}}}": ("1+1x9 1+1x9 1+1x9 1+1x30", "1+1x29 1+1x29")
    },
}


def case(name, series, *moments, **also):
    """A case for promtool: series, and whether the alert, and no other, fires at each moment."""
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [
            {"series": f"libvirt_{at}", "values": text} for at, text in series.items()
        ],
        "promql_expr_test": [
            {"expr": firing, "eval_time": time, "exp_samples": samples if fires else []}
            for time, fires in moments
        ],
        **also,
    }


def cases():
    """All cases: an alert fires after its time, and stays silent where nothing is wrong."""
    for name, series in CASES.items():
        yield case(name, {at: each[0] for at, each in series.items()}, ("0m", False), ("38m", True))
        yield case(name, {at: each[1] for at, each in series.items()}, ("38m", False))
    # It ends after an hour.
    (failed,) = CASES["LibvirtGuestJobFailed"]
    yield case("LibvirtGuestJobFailed", {failed: "0x9 1x90"}, ("60m", True), ("80m", False))
    # The text of an alert.
    name = "LibvirtStoragePoolNearlyFull"
    alert = {
        "exp_labels": {"severity": "warning", "host": "a", "pool": "p"},
        "exp_annotations": {
            "summary": "Pool p on a is 91.2 % full",
            "description": ALERTS[name].description,
        },
    }
    said = {"alertname": name, "eval_time": "38m", "exp_alerts": [alert]}
    yield case(name, dict.fromkeys(CASES[name], "91.25x60"), alert_rule_test=[said])


def test_promtool(tmp_path):
    """Prometheus finds no error in the rules, and each alert fires when it should."""
    promtool, path = needed("promtool", "prometheus"), tmp_path / "cases.yml"
    assert f"{len(EXPECTED)} rules found" in finish(promtool, "check", "rules", RULES)
    tests = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [*cases()]}
    path.write_text(json.dumps(tests))  # JSON is YAML as well
    assert "SUCCESS" in finish(promtool, "test", "rules", path, timeout=600)


def test_vmalert():
    """VictoriaMetrics finds no error in the rules."""
    finish(needed("vmalert", "victoria-metrics"), "-dryRun", f"-rule={RULES}")
