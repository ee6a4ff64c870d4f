"""Additional statistics ``job``: running jobs of domains, and counters of completed ones.

Names are libvirt's names of the parameters; those in milliseconds end in ``_ms``. Each parameter
that libvirt reports is a field, declared here or not.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _ms(key: str, help: str) -> Field:
    return Field(f"{key}_ms", Type.ULLONG, Kind.GAUGE, "ms", help)


def _size(key: str, help: str, unit: str = "bytes") -> Field:
    return Field(key, Type.ULLONG, Kind.GAUGE, unit, help)


def _amounts(what: str, help: str) -> tuple[Field, ...]:
    return (
        _size(f"{what}_total", f"{help} to transfer"),
        _size(f"{what}_processed", f"{help} transferred"),
        _size(f"{what}_remaining", f"{help} still to transfer"),
    )


GROUP = Group(
    name="job",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_job",
            prefix="job",
            extra_tags=("operation",),
            help="The running job of a domain: migration, save, dump, backup and others",
            fields=(
                Field(
                    "type",
                    Type.INT,
                    Kind.GAUGE,
                    "virDomainJobType",
                    "1 of known, 2 of unknown duration, 3 completed, 4 failed, 5 cancelled",
                ),
                _ms("time_elapsed", "time since the start of the job"),
                _ms("time_elapsed_net", "the same, without the difference of the hosts' clocks"),
                _ms("time_remaining", "estimated time to the end of the job"),
                _ms("setup_time", "time of the preparations"),
                _ms("downtime", "expected or measured pause of the guest"),
                _ms("downtime_net", "the same, without the difference of the hosts' clocks"),
                *_amounts("data", "data"),
                *_amounts("memory", "memory"),
                _size("memory_constant", "pages with one repeated byte", "pages"),
                _size("memory_normal", "other transferred pages", "pages"),
                _size("memory_normal_bytes", "other transferred pages"),
                _size("memory_bps", "speed of the transfer of memory", "bytes/s"),
                _size("memory_dirty_rate", "pages that the guest changes", "pages/s"),
                _size("memory_page_size", "size of a page"),
                _size("memory_iteration", "number of passes over the memory", ""),
                _size("memory_postcopy_requests", "pages that the destination asked for", ""),
                *_amounts("disk", "disks"),
                _size("disk_bps", "speed of the transfer of disks", "bytes/s"),
                _size("disk_temp_used", "used space for the temporary data of a backup"),
                _size("disk_temp_total", "space for the temporary data of a backup"),
                _size("compression_cache", "size of the compression cache"),
                _size("compression_bytes", "compressed data"),
                _size("compression_pages", "compressed pages", "pages"),
                _size("compression_cache_misses", "misses of the compression cache", ""),
                _size("compression_overflow", "pages that became larger", "pages"),
                Field(
                    "auto_converge_throttle",
                    Type.INT,
                    Kind.GAUGE,
                    "%",
                    "CPU time that is taken from the guest so that its migration ends",
                ),
            ),
        ),
        Metric(
            measurement="libvirt_job_completed",
            prefix="job_completed",
            extra_tags=("operation",),
            help="Jobs of a domain that ended since the plugin started, from libvirt's events",
            fields=(
                Field("count", Type.ULLONG, Kind.COUNTER, "", "number of jobs that ended"),
                Field(
                    "failed",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "",
                    "of these, jobs that libvirt reports as failed",
                ),
                Field("time_elapsed_ms", Type.ULLONG, Kind.COUNTER, "ms", "time of all these jobs"),
            ),
        ),
    ),
)
