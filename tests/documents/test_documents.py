"""Documentation matches the program: generated parts, examples, options and links."""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tomli

from support.documents import Block, blocks, broken_links, pages
from telegraf_execd_libvirt.config.config import HypervisorConfig, parse
from telegraf_execd_libvirt.config.values import Problems
from telegraf_execd_libvirt.domain.identity import DEVICE_TAGS, DOMAIN_TAGS
from telegraf_execd_libvirt.domain.xml import MetadataTag
from telegraf_execd_libvirt.groups import ADDITIONAL_STATISTICS
from telegraf_execd_libvirt.program import cli
from telegraf_execd_libvirt.sources import SOURCES

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "telegraf_execd_libvirt"
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
SAMPLE = (SOURCE / "config" / "sample.conf").read_text("utf-8")
OPTIONS = [o.name for o in fields(HypervisorConfig) if o.name != "source_tables"]
PAGES = pages()


def load_script() -> ModuleType:
    """The documentation generator, as a module."""
    spec = importlib.util.spec_from_file_location(
        "update_docs", ROOT / "scripts" / "update_docs.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


update_docs = load_script()


def uncommented(sample: str) -> str:
    """The sample configuration with its options uncommented; prose begins with two hashes."""
    return re.sub(r"^( *)# (?=[ \[a-z])", r"\1", sample, flags=re.MULTILINE)


def configured(text: str) -> HypervisorConfig:
    """The one hypervisor of a configuration without errors."""
    problems = Problems()
    config = parse(tomli.loads(text), {}, problems)
    # The sample has tables of sources, but does not read these sources.
    warnings = [text for text in problems.warnings if "has no effect" not in text]
    assert (problems.errors, warnings) == ([], [])
    (hypervisor,) = config.hypervisors
    return hypervisor


def test_generated_parts_are_up_to_date() -> None:
    """Generated parts of the documentation equal what the program declares."""
    assert update_docs.documents(ROOT)[1] == []


def test_generator_lists_and_updates_what_is_stale(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--check only lists what is stale; without it the generator updates exactly that."""
    for name in (*update_docs.DOCUMENTS, *update_docs.FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    for name in update_docs.DOCUMENTS:
        shutil.copyfile(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "metrics.md"
    fresh = page.read_text("utf-8")
    stale = fresh.replace("`libvirt_net_total`: Number of", "`libvirt_net_total`: Names of")
    assert stale != fresh
    page.write_text(stale, "utf-8")

    assert update_docs.main(["--check"], tmp_path) == 1
    assert page.read_text("utf-8") == stale
    assert not (tmp_path / "examples" / "plugin.conf").exists()
    listed = [line.partition(" is ")[0] for line in capfd.readouterr().err.splitlines()]
    assert listed == ["docs/metrics.md: metrics", *update_docs.FILES]

    assert update_docs.main([], tmp_path) == 0
    assert page.read_text("utf-8") == fresh
    assert (tmp_path / "examples" / "plugin.conf").read_text("utf-8") == SAMPLE
    assert update_docs.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("name", update_docs.DOCUMENTS)
def test_generator_requires_its_markers(name: str) -> None:
    """A document without the markers of a part is an error."""
    text = re.sub("<!-- .*: end -->", "", (ROOT / name).read_text("utf-8"))
    with pytest.raises(ValueError, match="has no part between"):
        update_docs.updated(name, text)


def test_sample_is_one_text(capfd: pytest.CaptureFixture[str]) -> None:
    """--sample-config prints examples/plugin.conf."""
    assert cli.main(["--sample-config"]) == 0
    assert capfd.readouterr().out == SAMPLE
    assert (ROOT / "examples" / "plugin.conf").read_text("utf-8") == SAMPLE


def test_sample_is_the_defaults() -> None:
    """The unchanged sample configures the defaults."""
    assert configured(SAMPLE) == HypervisorConfig()


def test_sample_shows_the_defaults() -> None:
    """Each uncommented option of the sample has its default, except those without one."""
    shown = configured(uncommented(SAMPLE))
    assert shown.groups == HypervisorConfig().groups
    assert shown == replace(
        HypervisorConfig(),
        statistics_groups=shown.statistics_groups,
        interval=10_000_000_000,
        source_tables=shown.source_tables,
        tags={"rack": "r12"},
        metadata_tags=(
            MetadataTag("http://opennebula.org/xmlns/libvirt/1.0", "vm/uname", "owner"),
        ),
    )


@pytest.mark.parametrize("option", OPTIONS)
def test_option_is_in_the_sample(option: str) -> None:
    """Each option of the configuration is in the sample."""
    (table,) = tomli.loads(uncommented(SAMPLE))["inputs"]["libvirt"]
    assert option in table


@pytest.mark.parametrize("option", OPTIONS)
def test_option_is_documented(option: str) -> None:
    """Each option of the configuration has a row in the table of options."""
    table = CONFIGURATION.partition("\n| option | default | ")[2].partition("\n\n")[0]
    assert f"\n| `{option}` | " in table


@pytest.mark.parametrize("name", ADDITIONAL_STATISTICS)
def test_additional_statistics_are_explained(name: str) -> None:
    """The sample and the table of options explain each value of additional_statistics."""
    assert re.search(rf"^  ##   {name} +\S", SAMPLE, re.MULTILINE)
    row = re.search(r"^\| `additional_statistics` .*$", CONFIGURATION, re.MULTILINE)
    assert row and f'`"{name}"`' in row[0]


@pytest.mark.parametrize("name", SOURCES)
def test_sources_are_explained(name: str) -> None:
    """The sample and the table of sources explain each source."""
    assert re.search(rf"^  ##   {name} +\S", SAMPLE, re.MULTILINE)
    assert re.search(rf"^\| `{name}` \| \S.* \| \S.* \| \S.* \|$", CONFIGURATION, re.MULTILINE)


def test_tables_of_sources_show_the_defaults() -> None:
    """The tables of sources in the sample have each option of their source, with its default."""
    shown = configured(uncommented(SAMPLE))
    for name, table in shown.source_tables.items():
        source = SOURCES[name]
        assert table.interval in (None, source.interval)
        assert table.options == source.defaults
    assert {name for name, source in SOURCES.items() if source.options} <= {*shown.source_tables}


@pytest.mark.parametrize("name", [*DOMAIN_TAGS, *DEVICE_TAGS])
def test_additional_tags_are_explained(name: str) -> None:
    """The sample names each additional tag, and the page says what it is and what it costs."""
    assert re.search(rf"^  ## .*\b{name}\b", SAMPLE, re.MULTILINE)
    assert re.search(rf"^\| `{name}` \| \S.* \| \S.* \|$", CONFIGURATION, re.MULTILINE)


def test_documented_errors_are_what_the_program_says() -> None:
    """The documented examples of errors are, word for word, the program's messages."""
    document = """
        [[inputs.libvirt]]
        domains = ["web-1", "db-1", 7]
        statistics_groups = ["stat"]
        timeout = "5"
        tags = { rack = "${RACK}" }
        [[inputs.libvirt]]
        name_prefix = "kvm_"
    """
    problems = Problems()
    parse(tomli.loads(document), {}, problems)
    said = [f"E! plugin.conf: {error}" for error in problems.errors]
    assert re.findall(r"^E! .*$", CONFIGURATION, re.MULTILINE) == said


def test_telegraf_example_runs_the_plugin() -> None:
    """The example runs the command with its own file, rounds timestamps, prints the metrics."""
    telegraf: Any = tomli.loads((ROOT / "examples" / "telegraf.conf").read_text("utf-8"))
    (execd,) = telegraf["inputs"]["execd"]
    assert execd["command"] == [
        "telegraf-execd-libvirt",
        "--config",
        "/etc/telegraf-execd-libvirt.conf",
    ]
    assert (execd["signal"], execd["data_format"]) == ("STDIN", "influx")
    assert execd["precision"] == "1s"
    assert telegraf["outputs"] == {"file": [{"files": ["stdout"], "data_format": "influx"}]}


def test_telegraf_example_with_everything_switched_on_is_toml() -> None:
    """The commented outputs and options of the example are valid TOML."""
    text = (ROOT / "examples" / "telegraf.conf").read_text("utf-8")
    telegraf = tomli.loads(re.sub(r"^( *)# (?=[a-z_]+ = |\[| )", r"\1", text, flags=re.MULTILINE))
    assert set(telegraf["outputs"]) == {"file", "influxdb", "influxdb_v2"}
    assert telegraf["inputs"]["execd"][0]["interval"] == "30s"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names an existing file, and each anchor a heading of its page."""
    assert broken_links(page) == []


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_blocks_of_configuration_are_valid(block: Block) -> None:
    """Each block of TOML is TOML, and the plugin takes each [[inputs.libvirt]] table as it is."""
    document = tomli.loads(block.text)
    if "libvirt" in document.get("inputs", {}):
        problems = Problems()
        parse(document, {}, problems)
        warnings = [text for text in problems.warnings if "has no effect" not in text]
        assert (problems.errors, warnings) == ([], [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_targets_exist(page: Path) -> None:
    """Each target of make that a page names exists."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {*re.findall(r"`make (\w+)", page.read_text("utf-8"))} <= {*targets}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """Each file of the source, the tests and the scripts that a page names exists."""
    named = re.findall(r"\b(?:src|tests|scripts)/[\w./*-]*\w", page.read_text("utf-8"))
    example = "tests/lines/golden/NAME"
    assert [path for path in named if path != example and not any(ROOT.glob(path))] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_page_opens_with_its_purpose_and_is_linked(page: Path) -> None:
    """Each page of docs/ opens with what it answers, and the README links to it."""
    assert re.match(r"# .+\n\nThis page \w", page.read_text("utf-8"))
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text("utf-8")
