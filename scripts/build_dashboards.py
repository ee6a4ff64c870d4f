"""Write the dashboards, the alerts and their list in docs/dashboards.md; `make docs` runs this.

Panels and rules are in scripts/panels/. With --check the script writes nothing, lists the files
that are out of date, and exits with status 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
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


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write what is out of date, or with --check only list it; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the dashboards and alerts.")
    parser.add_argument("--check", action="store_true", help="write nothing; list what is stale")
    options = parser.parse_args(arguments)
    stale = []
    for name, text in files().items():
        path = root / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not options.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
    for name in stale:
        print(f"{name}: {'is out of date; run `make docs`' if options.check else 'updated'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
