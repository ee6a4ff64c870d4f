"""Documentation matches the program: generated parts, examples, options and links."""

from __future__ import annotations

import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import tomli

from support.documents import ROOT, Block, blocks, broken_links, load_script, pages
from telegraf_execd_libvirt.config.config import HypervisorConfig, parse
from telegraf_execd_libvirt.config.values import Problems
from telegraf_execd_libvirt.domain.identity import DEVICE_TAGS, DOMAIN_TAGS
from telegraf_execd_libvirt.domain.xml import MetadataTag
from telegraf_execd_libvirt.groups import ADDITIONAL_STATISTICS
from telegraf_execd_libvirt.program import cli
from telegraf_execd_libvirt.sources import SOURCES

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
SAMPLE = (ROOT / "src/telegraf_execd_libvirt/config/sample.conf").read_text("utf-8")
OPTIONS = {o.name for o in fields(HypervisorConfig) if o.name != "source_tables"}
PAGES = pages()

update_docs = load_script("update_docs")


def uncommented(sample: str) -> str:
    """The sample configuration with its options uncommented; prose begins with two hashes."""
    return re.sub(r"^( *)# (?=[ \[a-z])", r"\1", sample, flags=re.MULTILINE)


def assert_right(problems: Problems) -> None:
    """There are none, but tables of sources that are not read."""
    warnings = [text for text in problems.warnings if "has no effect" not in text]
    assert (problems.errors, warnings) == ([], [])


def configured(text: str) -> HypervisorConfig:
    """The one hypervisor of a configuration without errors."""
    problems = Problems()
    config = parse(tomli.loads(text), {}, problems)
    assert_right(problems)
    (hypervisor,) = config.hypervisors
    return hypervisor


def test_generated_parts_are_up_to_date() -> None:
    """Generated parts of the documentation equal what the program declares."""
    assert update_docs.documents(ROOT)[1] == []


def test_generator_updates_what_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes the parts and the files that are stale, and names them."""
    for name in (*update_docs.DOCUMENTS, *update_docs.FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    for name in update_docs.DOCUMENTS:
        shutil.copyfile(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "metrics.md"
    fresh = page.read_text("utf-8")
    stale = fresh.replace("`libvirt_net_total`: Number of", "`libvirt_net_total`: Names of")
    page.write_text(stale, "utf-8")

    update_docs.main(tmp_path)
    updated = [line.partition(": updated")[0] for line in capsys.readouterr().out.splitlines()]
    assert updated == ["docs/metrics.md: metrics", *update_docs.FILES]
    assert page.read_text("utf-8") == fresh
    assert (tmp_path / "examples" / "plugin.conf").read_text("utf-8") == SAMPLE
    update_docs.main(tmp_path)
    assert capsys.readouterr().out == ""


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
        group_intervals=shown.group_intervals,
        tags={"rack": "r12"},
        metadata_tags=(
            MetadataTag("http://opennebula.org/xmlns/libvirt/1.0", "vm/uname", "owner"),
        ),
    )


def test_each_option_is_documented() -> None:
    """Each option of the configuration is in the sample, and has a row in the table of options."""
    (table,) = tomli.loads(uncommented(SAMPLE))["inputs"]["libvirt"]
    assert {*table} >= OPTIONS
    rows = CONFIGURATION.partition("\n| option | default | ")[2].partition("\n\n")[0]
    assert {*re.findall(r"^\| `(\w+)` \| ", rows, re.MULTILINE)} >= OPTIONS


#: What is in the sample, and in a table of the page.
EXPLAINED = {
    **{
        name: (rf"^  ##   {name} +\S", rf'^\| `additional_statistics` .*`"{name}"`')
        for name in ADDITIONAL_STATISTICS
    },
    **{
        name: (rf"^  ##   {name} +\S", rf"^\| `{name}` \| \S.* \| \S.* \| \S.* \|$")
        for name in SOURCES
    },
    **{
        name: (rf"^  ## .*\b{name}\b", rf"^\| `{name}` \| \S.* \| \S.* \|$")
        for name in (*DOMAIN_TAGS, *DEVICE_TAGS)
    },
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_each_value_is_explained(name: str) -> None:
    """The sample and a table explain each value of additional_statistics, each source, and each
    additional tag."""
    in_sample, in_page = EXPLAINED[name]
    assert re.search(in_sample, SAMPLE, re.MULTILINE)
    assert re.search(in_page, CONFIGURATION, re.MULTILINE)


def test_tables_of_sources_show_the_defaults() -> None:
    """The tables of sources in the sample have each option of their source, with its default."""
    shown = configured(uncommented(SAMPLE))
    for name, table in shown.source_tables.items():
        source = SOURCES[name]
        assert table.interval in (None, source.interval)
        assert table.options == source.defaults
    assert {name for name, source in SOURCES.items() if source.options} <= {*shown.source_tables}


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


def test_telegraf_example() -> None:
    """The example runs the command with its own file, rounds timestamps, prints the metrics. It is
    TOML with the commented outputs and options, too."""
    text = (ROOT / "examples" / "telegraf.conf").read_text("utf-8")
    telegraf: Any = tomli.loads(text)
    (execd,) = telegraf["inputs"]["execd"]
    command = ["telegraf-execd-libvirt", "--config", "/etc/telegraf-execd-libvirt.conf"]
    assert execd["command"] == command
    assert (execd["signal"], execd["data_format"]) == ("STDIN", "influx")
    assert execd["precision"] == "1s"
    assert telegraf["outputs"] == {"file": [{"files": ["stdout"], "data_format": "influx"}]}
    telegraf = tomli.loads(re.sub(r"^( *)# (?=[a-z_]+ = |\[| )", r"\1", text, flags=re.MULTILINE))
    assert set(telegraf["outputs"]) == {"file", "influxdb", "influxdb_v2"}
    assert telegraf["inputs"]["execd"][0]["interval"] == "30s"


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_blocks_of_configuration_are_valid(block: Block) -> None:
    """Each block of TOML is TOML, and the plugin takes each [[inputs.libvirt]] table as it is; also
    with the options that are commented out."""
    for text in (block.text, re.sub(r"^( *)# (?=\w+ = )", r"\1", block.text, flags=re.MULTILINE)):
        document = tomli.loads(text)
        if "libvirt" in document.get("inputs", {}):
            problems = Problems()
            parse(document, {}, problems)
            assert_right(problems)


def test_outputs_of_the_dashboards() -> None:
    """The page about dashboards has each output of Telegraf that it speaks of."""
    texts = [block.text for block in blocks("toml") if block.page == "docs/dashboards.md"]
    outputs = {name for text in texts for name in tomli.loads(text).get("outputs", {})}
    assert outputs == {"influxdb", "influxdb_v2", "prometheus_client", "http"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    """Each relative link names a file, and each anchor a heading of its page. Each target of make
    and each file of the source, the tests and the scripts exists."""
    text = page.read_text("utf-8")
    assert broken_links(page) == []
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {*re.findall(r"`make (\w+)", text)} <= {*targets}
    named = {*re.findall(r"\b(?:src|tests|scripts)/[\w./*-]*\w", text)}
    assert [path for path in named - {"tests/lines/golden/NAME"} if not any(ROOT.glob(path))] == []
    if page.parent.name == "docs":
        assert re.match(r"# .+\n\nThis page \w", text), "it opens with its purpose"
        assert f"(docs/{page.name})" in (ROOT / "README.md").read_text("utf-8")
