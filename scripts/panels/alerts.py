"""The conditions that call an operator, in both languages: the rules file and its documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .alerts_guest import GUESTS
from .alerts_plugin import PLUGIN
from .alerts_source import SOURCES

ALERTS = (*PLUGIN, *GUESTS, *SOURCES)


def rules() -> str:
    """The rules file of Prometheus and vmalert. A string of JSON is one of YAML as well."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Alerts on libvirt's guests and hypervisors, for Prometheus and vmalert."
    yield "# Written by scripts/build_dashboards.py; docs/dashboards.md explains each."
    yield "groups:"
    yield "  - name: libvirt"
    yield "    rules:"
    for alert in ALERTS:
        yield f"      - alert: {alert.name}"
        yield f"        expr: {json.dumps(alert.promql)}"
        yield f"        for: {alert.hold}"
        yield "        labels:"
        yield f"          severity: {alert.severity}"
        yield "        annotations:"
        yield f"          summary: {json.dumps(alert.summary)}"
        yield f"          description: {json.dumps(alert.description)}"


def documentation() -> str:
    """The same conditions for Grafana's alerts on InfluxQL, as Markdown."""
    parts = []
    for alert in ALERTS:
        parts.append(
            f"**{alert.name}** ({alert.severity}, for {alert.hold}): {alert.description}\n\n"
            f"```sql\n-- range {alert.period}, reduce: last, threshold: {alert.condition}\n"
            f"{alert.influxql}\n```"
        )
    return "\n\n".join(parts)
