"""What a tick costs: the plugin beside libvirt-python's bare call, and beside a plain loop.

The scripted daemon of the tests reports invented KVM guests of about 280 keys each: in one run all
values are constant, in another one all counters grow at each tick, which is the worst case. The
processes are ticked in turn, so that other load on the machine affects all of them; compare ratios
within one run only. Nothing here passes or fails.

Usage: python scripts/bench [--guests 1,100,1000,5000] [--real GUESTS] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import NOWAIT, PLUGIN, SETS, TYPICAL, Ticked, daemon
from translation import translation

from support.hypervisor import Hypervisor
from support.plugin import Plugin
from telegraf_execd_libvirt.domain.identity import DEVICE_TAGS, DOMAIN_TAGS
from telegraf_execd_libvirt.sources import SOURCES

#: If one answer cannot hold all guests, a bare call requests this many.
AT_ONCE = 2500

BARE = """
import sys, libvirt
uri, groups, flags, size = sys.argv[1], *map(int, sys.argv[2:])
connection = libvirt.openReadOnly(uri)
for line in sys.stdin:
    if size:
        found = []
        handles = connection.listAllDomains()
        for start in range(0, len(handles), size):
            found += connection.domainListGetStats(handles[start : start + size], groups, flags)
    else:
        found = connection.getAllDomainStats(groups, flags)
    del found
    print(flush=True)
"""


def whole_ticks(folder: Path, guests: int, metric_set: str, step: int = 0) -> dict[str, Any]:
    """The plugin beside the bare call, as processes."""
    size = AT_ONCE if guests > AT_ONCE else 0
    config = folder / f"{metric_set}-{guests}.conf"
    ticks = max(10, min(100, 40_000 // guests))
    with daemon(folder, guests, step) as (uri, calls):
        config.write_text(
            f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\nmetric_set = "{metric_set}"\n'
            'timeout = "60s"\n'
        )
        bare = Ticked(
            *(sys.executable, "-c", BARE, uri, str(SETS[metric_set]), str(NOWAIT), str(size))
        )
        plugin = Ticked(*PLUGIN, str(config))
        for number in range(3 + ticks):
            if number == 3:
                bare.settle()
                plugin.settle()
            bare.tick()
            plugin.tick()
        result = {
            "guests": guests,
            "set": metric_set,
            "values": "all counters grow" if step else "stay",
            "bare_cpu_ms": bare.cpu * 1e3,
            "tick_cpu_ms": plugin.cpu * 1e3,
            "cpu_ratio": plugin.cpu / bare.cpu,
            "bare_wall_ms": bare.wall * 1e3,
            "tick_wall_ms": plugin.wall * 1e3,
            "wall_ratio": plugin.wall / bare.wall,
            "cpu_per_guest_us": plugin.cpu / guests * 1e6,
            "bare_peak_mib": bare.status("VmHWM") / 1024,
            "peak_mib": plugin.status("VmHWM") / 1024,
            "peak_ratio": plugin.status("VmHWM") / bare.status("VmHWM"),
        }
        bare.close()
        plugin.close()
    # Half of the calls are the bare ones: both processes are ticked equally often.
    result["calls_a_tick"] = calls[0] / 2 / (4 + ticks)
    return result


def beside(folder: Path, options: str, guests: int = TYPICAL, ticks: int = 60) -> dict[str, float]:
    """Ticks with these options beside ticks without, of the same guests."""
    texts = {"without": "", "with": options}
    plugins = {}
    with daemon(folder, guests, step=12_345) as (uri, _):
        for name, text in texts.items():
            config = folder / f"{name}.conf"
            config.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\ntimeout = "60s"\n{text}')
            plugins[name] = Ticked(*PLUGIN, str(config))
        for number in range(3 + ticks):
            for plugin in plugins.values():
                if number == 3:
                    plugin.settle()
                plugin.tick()
        plain, changed = plugins["without"], plugins["with"]
        result = {
            "guests": guests,
            "without_cpu_ms": plain.cpu * 1e3,
            "with_cpu_ms": changed.cpu * 1e3,
            "with_ratio": changed.cpu / plain.cpu,
            "more_us_per_guest": (changed.cpu - plain.cpu) / guests * 1e6,
            "peak_ratio": changed.status("VmHWM") / plain.status("VmHWM"),
        }
        for plugin in plugins.values():
            plugin.close()
    return result


def tags(folder: Path) -> dict[str, float]:
    """The cost of all additional tags."""
    return beside(
        folder,
        f"additional_domain_tags = {[*DOMAIN_TAGS]}\nadditional_device_tags = {[*DEVICE_TAGS]}\n",
    )


def mapping(folder: Path) -> dict[str, float]:
    """The cost of vcpu_mapping."""
    return beside(folder, 'additional_statistics = ["vcpu_mapping"]\n', ticks=20)


def start(rounds: int = 9) -> dict[str, float]:
    """The time from the start to the first line of the test driver, and of an import alone."""

    def seconds(*command: str) -> float:
        started = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            return time.perf_counter() - started

    imports, firsts = [], []
    for _ in range(rounds):
        imports.append(seconds(sys.executable, "-c", "import libvirt"))
        firsts.append(seconds(*PLUGIN[:-1], "--once", "--uri", "test:///default"))
    return {
        "import_s": statistics.median(imports),
        "first_line_s": statistics.median(firsts),
        "more_s": statistics.median(firsts) - statistics.median(imports),
    }


def idle(folder: Path, seconds: float = 12.0) -> dict[str, float]:
    """How often the plugin wakes up between ticks, all threads together."""
    with daemon(folder, 1) as (uri, _):
        config = folder / "idle.conf"
        config.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\n')
        plugin = Ticked(*PLUGIN, str(config))
        tasks = Path(f"/proc/{plugin._process.pid}/task")

        def switches() -> int:
            return sum(
                int(line.split()[1])
                for task in tasks.iterdir()
                for line in (task / "status").read_text().splitlines()
                if line.startswith("voluntary_ctxt_switches")
            )

        time.sleep(1)
        before = switches()
        time.sleep(seconds)
        found = (switches() - before) / seconds
        plugin.close()
    return {"seconds": seconds, "wakeups_per_second": found}


def sources(folder: Path, guests: int = 200, ticks: int = 30) -> dict[str, float]:
    """A tick of the bulk statistics without sources and with all of them, each at every tick, on
    libvirt's test driver."""
    domains = "".join(
        f"<domain type='test'><name>guest-{number}</name><memory>1024</memory><os><type>hvm</type>"
        "</os><devices><disk type='file'><source file='/disk'/><target dev='vda'/></disk>"
        "</devices></domain>"
        for number in range(guests)
    )
    (folder / "guests.xml").write_text(f"<node>{domains}</node>")
    plugins = []
    for names in ([], [*SOURCES]):
        config = folder / f"sources-{len(names)}.conf"
        listed = ", ".join(f'"{name}"' for name in ["health", *names])
        tables = "".join(f'[inputs.libvirt.{name}]\ninterval = "1ms"\n' for name in names)
        config.write_text(
            f'[[inputs.libvirt]]\nlibvirt_uri = "test://{folder}/guests.xml"\n'
            f"additional_statistics = [{listed}]\n{tables}"
        )
        plugins.append(Plugin("--config", config))
    seconds: list[list[float]] = [[], []]
    for _ in range(3 + ticks):
        for plugin, taken in zip(plugins, seconds):
            plugin.metrics.forget()
            started = time.perf_counter()
            plugin.tick()
            plugin.metrics.wait_for(
                lambda lines: any(line.startswith("libvirt_health,") for line in lines), "a tick"
            )
            taken.append(time.perf_counter() - started)
            time.sleep(0.4)  # the sources come after the bulk statistics
    for plugin in plugins:
        plugin.close()
    without, with_all = (statistics.median(taken[3:]) for taken in seconds)
    return {
        "guests": guests,
        "without_ms": without * 1e3,
        "with_sources_ms": with_all * 1e3,
        "ratio": with_all / without,
    }


def real_guests(folder: Path, guests: int, ticks: int = 15) -> list[dict[str, float]]:
    """Ticks of real QEMU guests by one call and by several, on a hypervisor of the tests' own."""
    result = []
    with Hypervisor(idle_guests=guests, linux=False) as hypervisor:
        plugins = {}
        for calls in (1, 2, 4):
            config = folder / f"real-{calls}.conf"
            config.write_text(
                f'[[inputs.libvirt]]\nlibvirt_uri = "{hypervisor.uri}"\nparallel_calls = {calls}\n'
            )
            plugins[calls] = Ticked(*PLUGIN, str(config))
        for number in range(3 + ticks):
            for plugin in plugins.values():
                if number == 3:
                    plugin.settle()
                plugin.tick()
        for calls, plugin in plugins.items():
            result.append(
                {
                    "guests": len(hypervisor.guests),
                    "parallel_calls": calls,
                    "wall_ms": plugin.wall * 1e3,
                    "times_shorter": plugins[1].wall / plugin.wall,
                }
            )
            plugin.close()
    return result


def table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    """The rows as a table of Markdown; ``columns`` has the format of each."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(format(row[name], form) for name, form in columns.items()) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def machine() -> str:
    """The class of this machine and its software."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} CPUs ({model}), Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--guests", default="1,100,1000,5000", help="how many, several by commas")
    parser.add_argument("--real", type=int, default=0, help="also this many real QEMU guests")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    counts = [int(text) for text in options.guests.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        ticks = [whole_ticks(folder, guests, each) for each in SETS for guests in counts]
        ticks += [whole_ticks(folder, TYPICAL, each, step=12_345) for each in SETS]
        results: dict[str, Any] = {
            "machine": machine(),
            "date": time.strftime("%Y-%m-%d"),
            "ticks": ticks,
            "translation": translation(folder),
            "tags": tags(folder),
            "vcpu_mapping": mapping(folder),
            "start": start(),
            "idle": idle(folder),
            "sources": sources(folder),
            "real": real_guests(folder, options.real) if options.real else [],
        }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{results['date']}, {results['machine']}\n")
    cost = {
        "guests": "d",
        "set": "",
        "bare_cpu_ms": ".1f",
        "tick_cpu_ms": ".1f",
        "cpu_ratio": ".2f",
    }
    cost |= {"wall_ratio": ".2f", "peak_ratio": ".2f", "cpu_per_guest_us": ".0f"}
    print(table(ticks, {**cost, "calls_a_tick": ".1f"}))
    forms = {"guests": "d", "plain_ms": ".0f", "fast_ms": ".1f", "times_faster": ".1f"}
    print(table([results["translation"]], forms))
    forms = {"guests": "d", "without_cpu_ms": ".1f", "with_cpu_ms": ".1f"}
    forms |= {"with_ratio": ".2f", "more_us_per_guest": ".0f", "peak_ratio": ".2f"}
    for name in ("tags", "vcpu_mapping"):
        print(f"{name}:\n\n{table([results[name]], forms)}")
    print(table([results["start"]], {"import_s": ".3f", "first_line_s": ".3f", "more_s": ".3f"}))
    print(table([results["idle"]], {"seconds": ".0f", "wakeups_per_second": ".2f"}))
    forms = {"guests": "d", "without_ms": ".1f", "with_sources_ms": ".1f", "ratio": ".2f"}
    print(table([results["sources"]], forms))
    if results["real"]:
        forms = {"guests": "d", "parallel_calls": "d", "wall_ms": ".1f", "times_shorter": ".2f"}
        print(table(results["real"], forms))


if __name__ == "__main__":
    main()
