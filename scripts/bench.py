"""What a tick costs: the plugin beside libvirt-python's bare call, and beside a plain loop.

A small daemon of the tests' own reports made-up KVM guests of some 280 keys: once such whose values
stay, once such whose counters all grow from tick to tick, which no host's ever do.
Processes are ticked in turn, so that whatever else the machine does meets all of them; what counts
are the ratios within one run. Nothing here passes or fails.

Usage: python scripts/bench.py [--guests 1,100,1000,5000] [--real GUESTS] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.crowd import Crowd
from support.hypervisor import Hypervisor
from support.plugin import Plugin
from support.server import Daemon
from telegraf_execd_libvirt.config import HypervisorConfig
from telegraf_execd_libvirt.connection.libvirt_api import Connection
from telegraf_execd_libvirt.domain import Domain
from telegraf_execd_libvirt.encode import Encoder
from telegraf_execd_libvirt.field_map import FieldMap, Target
from telegraf_execd_libvirt.lineprotocol import escape_key, format_value
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.translate import convert

PLUGIN = (sys.executable, "-m", "telegraf_execd_libvirt", "--config")

#: The groups of each set, as libvirt's bits; NOWAIT is what the plugin asks with.
SETS = {"telegraf": 0x3FF, "full": 0}
NOWAIT = 1 << 29

#: The guests of what is measured for one number of them only.
TYPICAL = 1000

#: Where one answer cannot hold all guests, the bare calls ask for so many at once.
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


class Ticked:
    """A process that does its work at each newline and then writes so many lines."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout.fileno()
        self._lines = self._first()
        self.seconds: list[float] = []
        self._before = self._cpu()

    def tick(self) -> None:
        """One tick, to the last byte."""
        started = time.perf_counter()
        self._begin()
        left = self._lines
        while left > 0:
            left -= os.read(self._stdout, 1 << 20).count(b"\n")
        self.seconds.append(time.perf_counter() - started)

    def settle(self) -> None:
        """From here on it counts."""
        self.seconds.clear()
        self._before = self._cpu()

    @property
    def cpu(self) -> float:
        """The CPU seconds of a tick."""
        return (self._cpu() - self._before) / len(self.seconds)

    @property
    def wall(self) -> float:
        return statistics.median(self.seconds)

    def status(self, name: str) -> int:
        """A number of the kernel's about the process, such as VmHWM in KiB."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))

    def close(self) -> None:
        self._stdin.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _begin(self) -> None:
        self._stdin.write(b"\n")
        self._stdin.flush()

    def _first(self) -> int:
        """How many lines a tick has: the first one ends when nothing more comes."""
        self._begin()
        lines, patience = 0, 60.0
        while select.select([self._stdout], [], [], patience)[0]:
            data = os.read(self._stdout, 1 << 20)
            if not data:
                raise SystemExit("bench: a process ended before its first tick did")
            lines, patience = lines + data.count(b"\n"), 1.0
        return lines

    def _cpu(self) -> float:
        """The CPU time of all threads, also of those that have ended, to the nanosecond: the
        kernel's clock of another process (CPUCLOCK_SCHED)."""
        return time.clock_gettime(~self._process.pid << 3 | 2)


@contextlib.contextmanager
def daemon(folder: Path, guests: int, step: int = 0) -> Iterator[tuple[str, list[int]]]:
    """A daemon in a process of its own; its URI, and at the end how often it was asked."""
    path = folder / f"socket-{guests}-{step}"
    serving = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(path), str(guests), str(step)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert serving.stdin is not None and serving.stdout is not None
    calls: list[int] = []
    try:
        serving.stdout.readline()
        yield f"qemu+unix:///system?socket={path}", calls
    finally:
        serving.stdin.close()
        calls.append(int(serving.stdout.readline()))
        serving.wait()
        serving.stdout.close()


def serve(path: str, guests: int, step: int) -> None:
    """Be such a daemon until stdin ends."""
    crowd = Crowd(guests, step)
    with Daemon(Path(path), crowd=crowd):
        print("listening", flush=True)
        sys.stdin.read()
    print(crowd.calls, flush=True)


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
    # Of the calls, as many are the bare ones: each process ticked as often as the other.
    result["calls_a_tick"] = calls[0] / 2 / (4 + ticks)
    return result


def translation(folder: Path, guests: int = TYPICAL, rounds: int = 5) -> dict[str, float]:
    """Translation and encoding alone, beside a loop over the keys; both in CPU time."""
    config = HypervisorConfig()
    encoder, loop = Encoder(config), PlainLoop(config)
    fast, plain = [], []
    with daemon(folder, guests, step=12_345) as (uri, _):
        connection = Connection(uri)
        for number in range(3 + rounds):
            records = connection.all_statistics(SETS["telegraf"], 0)
            domains = [Domain(handle.name(), True, stats) for handle, stats in records]
            started = time.thread_time()
            quick = encoder.encode([*domains], number)
            between = time.thread_time()
            slow = loop.lines(domains, number).encode()
            ended = time.thread_time()
            if sorted(quick.splitlines()) != sorted(slow.splitlines()):
                raise SystemExit("bench: the plain loop does not write the same lines")
            fast.append(between - started)
            plain.append(ended - between)
            del domains
        del connection
    return {
        "guests": guests,
        "fast_ms": statistics.median(fast[3:]) * 1e3,
        "plain_ms": statistics.median(plain[3:]) * 1e3,
        "times_faster": statistics.median(plain[3:]) / statistics.median(fast[3:]),
    }


class PlainLoop:
    """What one would write first: a loop over the keys, each looked up once and remembered."""

    def __init__(self, config: HypervisorConfig) -> None:
        self._field_map = FieldMap(config.groups, config.full)
        self._found: dict[str, Target | None] = {}

    def lines(self, domains: Sequence[Any], timestamp: int) -> str:
        """All lines of these domains."""
        result = []
        found, field_map = self._found, self._field_map
        for record in domains:
            lines: dict[str, list[tuple[int, str]]] = {}
            name = escape_key(record.name)
            for key, value in record.stats.items():
                if key not in found:
                    found[key] = field_map.find(key)
                target = found[key]
                if target is None or (target.active_only and not record.active):
                    continue
                tags = sorted(zip(target.tags, (name, *target.indexes)))
                head = target.measurement + "".join(f",{tag}={text}" for tag, text in tags)
                fields = lines.setdefault(head, [])
                for slot in target.slots:
                    text = format_value(convert(value, slot.type), False)
                    fields.append((slot.number, f"{slot.name}={text}"))
            for head, fields in lines.items():
                body = ",".join(text for _, text in sorted(fields))
                result.append(f"{head} {body} {timestamp}\n")
        return "".join(result)


def start(rounds: int = 9) -> dict[str, float]:
    """From the start to the first line on the test driver, and to the end of a mere import."""

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
    parser.add_argument("--real", type=int, default=0, help="also so many real QEMU guests")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve[0], int(options.serve[1]), int(options.serve[2]))
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
            "start": start(),
            "idle": idle(folder),
            "sources": sources(folder),
            "real": real_guests(folder, options.real) if options.real else [],
        }
    if options.json:
        print(json.dumps(results, indent=2))
        return None
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
    print(table([results["start"]], {"import_s": ".3f", "first_line_s": ".3f", "more_s": ".3f"}))
    print(table([results["idle"]], {"seconds": ".0f", "wakeups_per_second": ".2f"}))
    forms = {"guests": "d", "without_ms": ".1f", "with_sources_ms": ".1f", "ratio": ".2f"}
    print(table([results["sources"]], forms))
    if results["real"]:
        forms = {"guests": "d", "parallel_calls": "d", "wall_ms": ".1f", "times_shorter": ".2f"}
        print(table(results["real"], forms))
    return None


if __name__ == "__main__":
    main()
