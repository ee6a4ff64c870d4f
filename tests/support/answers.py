"""What libvirt answers about guests and hosts beside their statistics, and what tables show of it.

The rule: names and values are libvirt's; a table's numbers follow from the answers alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Optional

from support.fleet import Disk
from support.fleet_view import Numbers, View, each, name_of
from support.scope import Thing

Answers = Mapping[str, Any]

#: Results of virDomainGetGuestInfo beside file systems.
AGENT = {
    **{"load.1m": 1.5, "load.5m": 0.75, "load.15m": 0.25, "hostname": "www"},
    **{"os.pretty-name": "Debian GNU/Linux 12", "timezone.offset": 3600, "timezone.name": "CET"},
}

#: VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, in KiB.
NO_LIMIT = (1 << 53) - 1


def limits(quota: int, most: int, requests: int, size: int, together: bool = True) -> Answers:
    """The limits of a guest: quotas in microseconds of each vCPU and of all in a period of 100 ms,
    requests and bytes per second of each disk, and bytes per second of each interface, of the
    memory KiB. A negative quota is none."""
    tune = {f"{way}_{end}": 0 for way in ("total", "read", "write") for end in _ENDS}
    for way in ("total",) if together else ("read", "write"):
        tune |= {f"{way}_iops_sec": requests, f"{way}_bytes_sec": size}
    periods = {f"{name}_period": 100_000 for name in _QUOTAS}
    quotas = {
        "vcpu_quota": quota,
        "global_quota": most,
        "emulator_quota": quota,
        "iothread_quota": 7,
    }
    bandwidth = {"inbound.average": size // 1024, "outbound.average": size // 2048}
    memory = {"hard_limit": size, "soft_limit": size // 2, "min_guarantee": 5}
    return {
        "schedulerParameters": {"cpu_shares": 1024, **periods, **quotas},
        "memoryParameters": {**memory, "swap_hard_limit": NO_LIMIT},
        "blockIoTune": tune,
        "interfaceParameters": bandwidth,
    }


_ENDS = ("iops_sec", "bytes_sec")
_QUOTAS = ("vcpu", "global", "emulator", "iothread")


def said(errors: int, tainted: int, deprecated: int) -> Answers:
    """Messages of libvirt about a guest: numbers of I/O errors and of the others."""
    by_flag = {
        1: [f"deprecated configuration: machine type {n}" for n in range(deprecated)],
        2: [f"tainted: reason {n}" for n in range(tainted)],
    }
    every = [*by_flag[1], *by_flag[2], *(f"I/O error: disk='vd{n}'" for n in range(errors))]
    return {"messages": {**by_flag, 0: every}.get}


def saved(*times: int, state: int = 0) -> Answers:
    """A guest with snapshots of these times, and a checkpoint at the last one; a saved state."""

    def of(kind: str, times: Iterable[int]) -> list[Thing]:
        xml = "<domain{}><creationTime>{}</creationTime></domain{}>"
        return [Thing(f"at-{t}", {"getXMLDesc": xml.format(kind, t, kind)}) for t in times]

    return {
        **{"snapshotNum": len(times), "hasCurrentSnapshot": 1, "hasManagedSaveImage": state},
        "listAllSnapshots": of("snapshot", times),
        "listAllCheckpoints": of("checkpoint", times[-1:]),
    }


def addresses(leased: Sequence[str], seen: Sequence[str]) -> Answers:
    """Addresses of a guest's first interface, by lease and by ARP."""

    def of(way: int, _: int) -> Any:
        found = [{"addr": address, "prefix": 24} for address in (seen if way else leased)]
        return {"vnet0": {"hwaddr": "52:54:00:00:00:01", "addrs": found}}

    return {"interfaceAddresses": of}


def cells(*free_pages: int) -> Answers:
    """A host with cells of 1 GiB, of which this many of 512 pages of 2 MiB are free."""
    pages = "<pages unit='KiB' size='4'>9</pages><pages unit='KiB' size='2048'>512</pages>"
    texts = [
        f"<cell id='{number}'><memory unit='KiB'>{1 << 20}</memory>{pages}</cell>"
        for number in range(len(free_pages))
    ]
    machine = "<machine deprecated='yes'>pc-q35-7.2</machine>"
    guests = f"<guest><os_type>hvm</os_type><arch>{machine}</arch></guest>" if texts else ""
    topology = f"<host><topology><cells>{''.join(texts)}</cells></topology></host>"
    return {
        "getCapabilities": f"<capabilities>{topology}{guests}</capabilities>",
        "getCellsFreeMemory": lambda *_: [(number + 1) << 28 for number in range(len(free_pages))],
        "getFreePages": lambda sizes, cell, _: {cell: {4: 3, 2048: free_pages[cell]}},
    }


def _at(key: str, change: Callable[[int], int]) -> Callable[[Answers], int]:
    return lambda answer: change(answer[key])


def _number_of(flag: int) -> Callable[[Any], int]:
    others = () if flag else (1, 2)
    return lambda said: len(said(flag)) - sum(len(said(other)) for other in others)


def fleet_tables(view: View) -> dict[str, Numbers]:
    """The numbers of the tables of the fleet."""
    found: dict[str, Numbers] = {}
    for title, column, numbers in _fleet_columns(view):
        found.setdefault(f"{title} {column}", {}).update(numbers)
    return found


def _fleet_columns(view: View) -> Iterable[tuple[str, str, Numbers]]:
    active = view.active

    def of(source: str, method: str, value: Callable[[Any], Optional[float]]) -> Numbers:
        guests = ((g, g.answers.get(method)) for g in running(view, source))
        numbers = {name_of(g): value(answer) for g, answer in guests if answer is not None}
        return {name: number for name, number in numbers.items() if number is not None}

    def quota(name: str, factor: float) -> Numbers:
        return of(
            "cpu_limit",
            "schedulerParameters",
            lambda a: factor * a[f"{name}_quota"] / 100_000 if a[f"{name}_quota"] > 0 else None,
        )

    def by_disk(value: Callable[[Disk], float]) -> Numbers:
        """The values of the disks, or of a guest's disks together if no tag tells them apart."""
        sums: Numbers = {}
        for guest in active:
            for disk in guest.disks:
                at = f"{name_of(guest)}{f' {disk.name}' if view.fleet.device_tags else ''}"
                sums[at] = sums.get(at, 0) + value(disk)
        return sums

    title = "Use of CPU limits"
    yield title, "each vCPU", each(active, lambda g: 100 * g.user / g.vcpus)
    yield title, "limit of a vCPU", quota("vcpu", 100)
    yield title, "guest's CPU", each(active, lambda g: g.user + g.system)
    yield title, "limit of the guest", quota("global", 1)
    yield title, "steal", each(active, lambda g: 100 * g.steal)
    title = "CPU limits"
    yield title, "shares", of("cpu_limit", "schedulerParameters", lambda a: a["cpu_shares"])
    for name, shown in zip(_QUOTAS, ("vCPU", "guest", "emulator", "I/O thread")):
        for end in ("quota", "period"):
            limit = _at(f"{name}_{end}", lambda number: max(0, number))
            yield title, f"{shown} {end}", of("cpu_limit", "schedulerParameters", limit)
    for shown, key in (
        ("hard", "hard_limit"),
        ("soft", "soft_limit"),
        ("with swap", "swap_hard_limit"),
        ("guaranteed", "min_guarantee"),
    ):
        limit = _at(key, lambda size: size % NO_LIMIT)
        yield "Memory limits", shown, of("memory_limit", "memoryParameters", limit)
    title = "Use of disk limits"
    counts = by_disk(lambda d: d.requests)
    spent = by_disk(lambda d: d.spent)
    yield title, "IOPS", counts
    yield title, "bytes", by_disk(lambda d: d.bytes)
    yield title, "latency", {at: spent[at] / counts[at] / 1e6 for at in spent if counts[at]}
    for column, end in (("limit of IOPS", "iops_sec"), ("limit of bytes", "bytes_sec")):
        numbers = {
            f"{name_of(guest)} {disk.name}": sum(
                guest.answers["blockIoTune"][f"{way}_{end}"] for way in ("total", "read", "write")
            )
            for guest in running(view, "block_limit")
            if "blockIoTune" in guest.answers
            for disk in guest.disks
        }
        yield title, column, numbers
    for guest in running(view, "interface_address"):
        ways = guest.answers.get("interfaceAddresses", lambda *_: {})
        for way, column in ((0, "lease"), (2, "ARP")):
            for other in (0, 2):
                for address in ways(other, 0).get("vnet0", {}).get("addrs", ()):
                    known = address in ways(way, 0)["vnet0"]["addrs"]
                    at = f"{name_of(guest)} vnet0 {address['addr']}"
                    yield "Addresses", column, {at: int(known)}
    agents = [g for g in running(view, "guest_agent") if g.agent]
    yield "Operating systems", "A", each(agents, lambda g: 3600)
    yield "What guests are", "A", each(informed(view, "domain_info"), lambda g: 1)
    for flag, column in ((0, "I/O errors"), (1, "deprecated"), (2, "tainted")):
        yield "What libvirt says about guests", column, of("message", "messages", _number_of(flag))
    title = "Snapshots and checkpoints"
    for guest in view.asked("snapshot"):
        if guest.complete and (times := _times(guest.answers)):
            at = name_of(guest)
            for column, value in (
                *(("newest snapshot", 1000 * times[-1]), ("oldest snapshot", 1000 * times[0])),
                *(("newest checkpoint", 1000 * times[-1]), ("snapshots", len(times))),
                *(("oldest checkpoint", 1000 * times[-1]), ("checkpoints", 1)),
                ("saved state", guest.answers["hasManagedSaveImage"]),
            ):
                yield title, column, {at: value}
    yield from _ended(view)
    present = [g for g in view.present if not g.locked and "domain_config" in view.fleet.sources]
    for guest in present:
        if guest.complete and guest.answers.get("autostart") and guest.state != 1:
            numbers = {name_of(guest): 100 * guest.state + guest.reason}
            yield "Should run and do not", "A", numbers
        if guest.complete and guest.answers.get("changes"):
            yield "Need a restart", "A", {name_of(guest): 1}
        if any(host.name == guest.host and host.free_pages for host in view.fleet.hosts):
            yield "Deprecated machine types", "A", {name_of(guest): 1}
    for host in view.seen:
        if "numa_cell" in view.fleet.sources and "numa_cell" not in host.failing:
            for cell, free in enumerate(host.free_pages):
                at = f"{host.name} {host.uri} {cell}"
                yield "Huge pages", "pages", {f"{at} 2048": 512}
                yield "Huge pages", "free", {f"{at} 2048": free}
                yield "Free memory of the NUMA cells", "A", {at: 25 * (cell + 1)}
        if "guest_agent" in view.fleet.sources:
            connected = [g for g in running(view, "guest_agent") if g.host == host.name]
            number = sum(g.has_agent for g in connected)
            if "guest_agent" not in host.failing:
                yield "Connected guest agents", "A", {f"{host.name} {host.uri} guest_agent": number}
    for guest in view.present:
        status, threads, _ = guest.process or ("sleep", 0, 0)
        if status != "sleep":
            at = f"{name_of(guest)} {status}"
            yield "Processes that do not run", "A", {at: threads}


def _ended(view: View) -> Iterable[tuple[str, str, Numbers]]:
    now = 1000 * time.time()
    for guest in view.asked("job"):
        for event in guest.events:
            if event.kind == 21:
                (job,) = event.arguments
                at = f"{name_of(guest)} {OPERATIONS[job['operation']]}"
                shown = {
                    **{"last": now, "number": event.count, "time": job.get("time_elapsed")},
                    **{"failed": event.count * (not job.get("success", True))},
                    **{"downtime": job.get("downtime"), "data": job.get("data_processed")},
                    "memory": job.get("memory_processed"),
                    "passes": job.get("memory_iteration"),
                }
                for column, value in shown.items():
                    if value is not None:
                        yield "Jobs that have ended", column, {at: value}
    for guest in view.asked("block_job"):
        for event in guest.events:
            if event.kind == 16:
                disk, type, status = event.arguments
                at = f"{name_of(guest)} {disk} {('unknown', 'pull', 'copy')[type]}"
                shown = {"last": now, "number": event.count, "failed": event.count * (status == 1)}
                for column, value in {**shown, "canceled": event.count * (status == 2)}.items():
                    yield "Block jobs that have ended", column, {at: value}


#: virDomainJobOperation.
OPERATIONS = {2: "save", 5: "migration_out", 8: "dump", 9: "backup"}


def _times(answers: Answers) -> list[int]:
    return [int(t.name.partition("-")[2]) for t in answers.get("listAllSnapshots", ())]


def running(view: View, source: str) -> list[Any]:
    """The guests that a source asks."""
    return [guest for guest in view.asked(source) if guest.active and guest.complete]


def informed(view: View, source: str) -> list[Any]:
    """The guests of which a source has info lines in the range."""
    hosts = {host.name for host in view.seen if source not in host.failing}
    has = source in view.fleet.sources
    return [g for g in view.newest if has and g.host in hosts and not g.locked]


def guest_lines(view: View) -> dict[str, Numbers]:
    """The numbers of the limits, the load, the devices and the process of one guest."""
    found: dict[str, Numbers] = {}
    for title, numbers in _guest_parts(view):
        found.setdefault(title, {}).update(numbers)
    return found


def _guest_parts(view: View) -> Iterable[tuple[str, Numbers]]:
    yield "CPU and its limit A", each(view.active, lambda g: g.user + g.system)
    for guest in running(view, "cpu_limit"):
        quotas = guest.answers.get("schedulerParameters", {})
        for title, name, factor in (
            ("Use of each vCPU B", "vcpu", 100),
            ("CPU and its limit B", "global", 1),
        ):
            if quotas.get(f"{name}_quota", 0) > 0:
                yield title, {name_of(guest): factor * quotas[f"{name}_quota"] / 100_000}
    for guest in running(view, "memory_limit"):
        if size := guest.answers.get("memoryParameters", {}).get("hard_limit"):
            yield "Memory F", {name_of(guest): size}
    for guest in running(view, "block_limit"):
        for title, end in (("Disk IOPS", "iops_sec"), ("Disk throughput", "bytes_sec")):
            for letter, way in zip("CDE", ("total", "read", "write")):
                if most := guest.answers.get("blockIoTune", {}).get(f"{way}_{end}"):
                    at = {f"{name_of(guest)} {disk.name}": most for disk in guest.disks}
                    yield f"{title} {letter}", at
    for guest in running(view, "interface_limit"):
        for letter, way in (("C", "inbound"), ("D", "outbound")):
            if most := guest.answers.get("interfaceParameters", {}).get(f"{way}.average"):
                at = {f"{name_of(guest)} vnet{n}": 1024 * most for n in range(len(guest.nics))}
                yield f"Network throughput {letter}", at
    for guest in running(view, "guest_agent"):
        for letter, minutes in zip("ABC", (1, 5, 15)):
            if f"load.{minutes}m" in guest.agent:
                yield f"Load {letter}", {name_of(guest): guest.agent[f"load.{minutes}m"]}
    for guest in running(view, "job"):
        if guest.job:
            job = f"{name_of(guest)} {OPERATIONS[guest.job['operation']]}"
            what = "data" if "data_total" in guest.job else "disk"
            total, left = (guest.job[f"{what}_{end}"] for end in ("total", "remaining"))
            yield "Progress of jobs A", {job: 100 * (total - left) / total}
    for guest in informed(view, "block_info"):
        at = {f"{name_of(guest)} {n} {disk.name}": 1 for n, disk in enumerate(guest.disks)}
        yield "What the disks are A", at
    for guest in informed(view, "interface_info"):
        at = {f"{name_of(guest)} {n} vnet{n} network": 1 for n in range(len(guest.nics))}
        yield "What the interfaces are A", at
    for guest in informed(view, "hostdev_info"):
        if guest.hostdev:
            yield "Passed-through devices A", {f"{name_of(guest)} usb {guest.hostdev}:1": 1}
    for guest in view.present:
        if guest.process:
            status, threads, files = guest.process
            yield "Process of the guest threads", {f"{name_of(guest)} {status}": threads}
            yield "Process of the guest files", {f"{name_of(guest)} {status}": files}
