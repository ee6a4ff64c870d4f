"""The documents say what the program does: what is generated is in step, examples can be used."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tomli

from telegraf_execd_libvirt import cli
from telegraf_execd_libvirt.config import HypervisorConfig, parse
from telegraf_execd_libvirt.groups import ADDITIONAL_STATISTICS
from telegraf_execd_libvirt.options import Problems

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "telegraf_execd_libvirt"
README = (ROOT / "README.md").read_text("utf-8")
SAMPLE = (SOURCE / "sample.conf").read_text("utf-8")
OPTIONS = [option.name for option in fields(HypervisorConfig)]


def load_script() -> ModuleType:
    """The generator of the documents, as a module."""
    spec = importlib.util.spec_from_file_location(
        "update_readme", ROOT / "scripts" / "update_readme.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


update_readme = load_script()


def uncommented(sample: str) -> str:
    """A sample configuration with its options switched on; prose begins with two hashes."""
    return re.sub(r"^( *)# (?=[ \[a-z])", r"\1", sample, flags=re.MULTILINE)


def configured(text: str) -> HypervisorConfig:
    """The one hypervisor of a configuration without mistakes."""
    problems = Problems()
    config = parse(tomli.loads(text), {}, problems)
    assert (problems.errors, problems.warnings) == ([], [])
    (hypervisor,) = config.hypervisors
    return hypervisor


def test_generated_parts_of_the_readme_are_in_step() -> None:
    """What the README says of metrics, options and examples is what the program has."""
    assert update_readme.updated(README) == (README, [])


def test_generator_names_and_mends_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With --check the generator only names what is stale, without it mends that and no more."""
    readme, plugin_conf = tmp_path / "README.md", tmp_path / "plugin.conf"
    fresh, _ = update_readme.updated(README)
    stale = fresh.replace("`libvirt_net_total`: Number of", "`libvirt_net_total`: Names of")
    readme.write_text(stale, "utf-8")
    monkeypatch.setattr(update_readme, "README", readme)
    monkeypatch.setattr(update_readme, "PLUGIN_CONF", plugin_conf)

    assert update_readme.main(["--check"]) == 1
    assert readme.read_text("utf-8") == stale
    assert not plugin_conf.exists()
    named = [line.partition(" is ")[0] for line in capfd.readouterr().err.splitlines()]
    assert named == ["README.md: metrics", "examples/plugin.conf"]

    assert update_readme.main([]) == 0
    assert readme.read_text("utf-8") == fresh
    assert plugin_conf.read_text("utf-8") == SAMPLE
    assert update_readme.main(["--check"]) == 0


def test_generator_does_without_no_part() -> None:
    """A README that has lost the markers of a part is an error, not a README without it."""
    with pytest.raises(ValueError, match="metrics: begin"):
        update_readme.updated(README.replace("<!-- metrics: end -->", ""))


def test_sample_is_one_text(capfd: pytest.CaptureFixture[str]) -> None:
    """The program prints the sample configuration that the examples have."""
    assert cli.main(["--sample-config"]) == 0
    assert capfd.readouterr().out == SAMPLE
    assert (ROOT / "examples" / "plugin.conf").read_text("utf-8") == SAMPLE


def test_sample_is_the_defaults() -> None:
    """The sample as it stands configures nothing but the defaults."""
    assert configured(SAMPLE) == HypervisorConfig()


def test_sample_shows_the_defaults() -> None:
    """Each option of the sample that is switched on has its default, but for the two without."""
    shown = configured(uncommented(SAMPLE))
    assert shown.groups == HypervisorConfig().groups
    assert shown == replace(
        HypervisorConfig(),
        statistics_groups=shown.statistics_groups,
        interval=10_000_000_000,
        tags={"rack": "r12"},
    )


@pytest.mark.parametrize("option", OPTIONS)
def test_option_is_in_the_sample(option: str) -> None:
    """Each option of the configuration stands in the sample."""
    (table,) = tomli.loads(uncommented(SAMPLE))["inputs"]["libvirt"]
    assert option in table


@pytest.mark.parametrize("option", OPTIONS)
def test_option_is_in_the_readme(option: str) -> None:
    """Each option of the configuration has a row in the README's table of options."""
    table = README.partition("\n| option | default | ")[2].partition("\n\n")[0]
    assert f"\n| `{option}` | " in table


@pytest.mark.parametrize("name", ADDITIONAL_STATISTICS)
def test_additional_statistics_are_explained(name: str) -> None:
    """What may stand in additional_statistics is explained in the sample and in the README."""
    assert re.search(rf"^  ##   {name} +\S", SAMPLE, re.MULTILINE)
    row = re.search(r"^\| `additional_statistics` .*$", README, re.MULTILINE)
    assert row and f'`"{name}"`' in row[0]


def test_mistakes_in_the_readme_are_what_is_said() -> None:
    """The README's examples of mistakes are, word for word, what the program says of them."""
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
    assert re.findall(r"^E! .*$", README, re.MULTILINE) == said


def test_telegraf_example_runs_the_plugin() -> None:
    """The example is TOML that runs the command with its own file and prints what it sends."""
    telegraf: Any = tomli.loads((ROOT / "examples" / "telegraf.conf").read_text("utf-8"))
    (execd,) = telegraf["inputs"]["execd"]
    assert execd["command"] == [
        "telegraf-execd-libvirt",
        "--config",
        "/etc/telegraf-execd-libvirt.conf",
    ]
    assert (execd["signal"], execd["data_format"]) == ("STDIN", "influx")
    assert telegraf["outputs"] == {"file": [{"files": ["stdout"], "data_format": "influx"}]}


def test_telegraf_example_with_everything_switched_on_is_toml() -> None:
    """The commented outputs and options of the example are TOML as well."""
    text = (ROOT / "examples" / "telegraf.conf").read_text("utf-8")
    telegraf = tomli.loads(re.sub(r"^( *)# (?=[a-z_]+ = |\[| )", r"\1", text, flags=re.MULTILINE))
    assert set(telegraf["outputs"]) == {"file", "influxdb", "influxdb_v2"}
    assert telegraf["inputs"]["execd"][0]["interval"] == "30s"


def test_links_of_the_documents_lead_somewhere() -> None:
    """Each link to a file names one that exists, and each link into the README a heading."""
    headings = {
        re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    targets = re.findall(r"\]\(([^)\s]+)\)", README)
    assert targets
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (ROOT / target).exists(), target


def test_layout_in_the_readme_is_complete() -> None:
    """Each module of the source has its line in the README; the groups are one line together."""
    modules = {
        path.name
        for path in SOURCE.rglob("*.py")
        if path.name != "__init__.py" and path.parent.name != "groups"
    }
    layout = README.partition("```text\nsrc/")[2].partition("```")[0]
    assert set(re.findall(r"^ +(\w+\.py) +\S", layout, re.MULTILINE)) == modules
