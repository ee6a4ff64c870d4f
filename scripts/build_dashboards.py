"""Write the dashboards, the alerts and their list in docs/dashboards.md; `make docs` runs this.

Panels and rules are in scripts/panels/. Only what is out of date is written, and listed.
"""

from __future__ import annotations

import json
from pathlib import Path

from panels import alerts
from panels.fleet import FLEET
from panels.grafana import dashboard
from panels.guest import GUEST_DASHBOARD
from panels.model import LANGUAGES

ROOT = Path(__file__).resolve().parents[1]
DASHBOARDS = (FLEET, GUEST_DASHBOARD)


def files() -> dict[str, str]:
    """The text of each file, by its path in the project."""
    made = {
        f"dashboards/{which.name}-{language}.json": json.dumps(
            dashboard(which, language), indent=2, ensure_ascii=False
        )
        + "\n"
        for which in DASHBOARDS
        for language in LANGUAGES
    }
    made["dashboards/alerts/libvirt-rules.yml"] = alerts.rules()
    page = "docs/dashboards.md"
    made[page] = _with_alerts((ROOT / page).read_text("utf-8"))
    return made


def _with_alerts(text: str) -> str:
    """The page with its list of alerts up to date."""
    before, begin, rest = text.partition("<!-- alerts: begin -->")
    _, end, after = rest.partition("<!-- alerts: end -->")
    return f"{before}{begin}\n\n{alerts.documentation()}\n\n{end}{after}"


def main() -> None:
    """Write what is out of date."""
    for name, text in files().items():
        path = ROOT / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"{name}: updated")


if __name__ == "__main__":
    main()
