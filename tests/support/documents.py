"""The documents as a reader uses them: their links, and their blocks of code.

The rule: a link leads to a file beside the document, also where a package has installed both.
"""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def libraries(*tools: str) -> list[str]:
    """What the tests require, without these tools."""
    required = PROJECT["optional-dependencies"]["test"]
    return [requirement for requirement in required if not requirement.startswith(tools)]


def load_script(module: str) -> Any:
    """A module of scripts/."""
    folder = str(ROOT / "scripts")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(module)


@dataclass(frozen=True)
class Block:
    """A block of code, with the page and the line where it begins."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def moved(self, folder: Path) -> str:
        """The text with the folders of the host below this folder."""
        return re.sub(r"(?<![\w/])(?=/(?:etc|opt|run|usr|var)/)", str(folder), self.text)


def pages(root: Path = ROOT) -> list[Path]:
    """The documents of a source tree or of a package."""
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
    return [*(root / name for name in names), *sorted(root.glob("docs/*.md"))]


def blocks(language: str) -> list[Block]:
    """All blocks of code in this language."""
    found = []
    for page in pages():
        text = page.read_text("utf-8")
        for block in re.finditer(rf"^( *)```{language}\n(.*?)^\1```$", text, re.M | re.S):
            line = text.count("\n", 0, block.start(2)) + 1
            found.append(Block(page.relative_to(ROOT).as_posix(), line, textwrap.dedent(block[2])))
    return found


def manual_blocks() -> list[Block]:
    """The examples of the manual page: all that it prints as it is."""
    page = "docs/telegraf-execd-libvirt.1"
    text = (ROOT / page).read_text("utf-8").replace("\\-", "-")
    return [
        Block(page, text.count("\n", 0, found.start(1)) + 1, found[1])
        for found in re.finditer(r"^\.nf\n(.*?)^\.fi$", text, re.M | re.S)
    ]


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and anchor not in _anchors(path.read_text("utf-8"))):
            broken.append(target)
    return broken


def _anchors(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a Markdown page."""
    text = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def recipes() -> dict[str, dict[str, str]]:
    """The queries of docs/recipes.md, by the question and the language."""
    text = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    found = {}
    for section in text.split("\n## ")[1:]:
        queries = dict(re.findall(r"^```(\w+)\n(.*?)^```$", section, re.M | re.S))
        if queries:
            found[section.partition("\n")[0]] = queries
    return found
