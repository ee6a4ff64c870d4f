"""Valid configurations; wrong ones are golden cases."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.config.config import Config, ConfigError, HypervisorConfig, load, parse
from telegraf_execd_libvirt.config.intervals import GroupIntervals
from telegraf_execd_libvirt.config.values import Problems
from telegraf_execd_libvirt.domain.xml import MetadataTag
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS
from telegraf_execd_libvirt.hypervisor.plan import plan_of
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.source import SourceTable
from telegraf_execd_libvirt.uri import aliases


def read(text: str, **environment: str) -> tuple[Config, Problems]:
    """The configuration of a TOML text, and its errors and warnings."""
    problems = Problems()
    return parse(tomli.loads(text), environment, problems), problems


def table(text: str, **environment: str) -> HypervisorConfig:
    """The only hypervisor of a configuration without errors."""
    config, problems = read(text, **environment)
    assert problems.errors == []
    (hypervisor,) = config.hypervisors
    return hypervisor


def test_defaults_are_those_of_the_builtin_plugin() -> None:
    """Without a file, and with an empty table, the defaults are the built-in plugin's."""
    (default,) = Config().hypervisors
    assert table("[[inputs.libvirt]]") == default
    assert default.libvirt_uri == "qemu:///system"
    assert default.domains == () and default.additional_statistics == ()
    assert tuple(group.name for group in default.groups) == (
        *("state", "cpu_total", "balloon", "vcpu", "interface"),
        *("block", "perf", "iothread", "memory", "dirtyrate"),
    )
    assert default.timeout == 5 * 10**9 and default.interval is None
    assert default.influx_uint_support is False


def test_all_options() -> None:
    """Each option is read."""
    assert table(
        """
        [[inputs.libvirt]]
          libvirt_uri = "test:///default"
          domains = ["a", "b c"]
          statistics_groups = ["vcpu", "state"]
          additional_statistics = ["vcpu_mapping"]
          timeout = "1m"
          interval = "500ms"
          influx_uint_support = true
          metric_set = "full"
          backing_chain = true
          bulk_statistics = false
          parallel_calls = 5
          domain_exclude = ["*-test", "{a,b}?"]
          domain_state_include = ["running", "paused"]
          additional_domain_tags = ["title", "uuid"]
          additional_device_tags = ["mac"]
          [inputs.libvirt.tags]
            rack = "r1"
          [inputs.libvirt.group_intervals]
            default = "10s"
            vcpu_mapping = "5m"
            spread = false
          [[inputs.libvirt.metadata_tags]]
            namespace = "urn:a"
            path = "app/site/@name"
            tag = "site"
          [[inputs.libvirt.metadata_tags]]
            tag = "owner"
            namespace = "urn:${NAME}"
            path = "app"
        """,
        NAME="b",
    ) == HypervisorConfig(
        libvirt_uri="test:///default",
        domains=("a", "b c"),
        statistics_groups=("vcpu", "state"),
        additional_statistics=("vcpu_mapping",),
        timeout=60 * 10**9,
        interval=500 * 10**6,
        influx_uint_support=True,
        metric_set="full",
        backing_chain=True,
        bulk_statistics=False,
        parallel_calls=5,
        tags={"rack": "r1"},
        domain_exclude=("*-test", "{a,b}?"),
        domain_state_include=("running", "paused"),
        additional_domain_tags=("title", "uuid"),
        additional_device_tags=("mac",),
        metadata_tags=(
            MetadataTag("urn:a", "app/site/@name", "site"),
            MetadataTag("urn:b", "app", "owner"),
        ),
        group_intervals=GroupIntervals({"vcpu_mapping": 300 * 10**9}, 10 * 10**9, spread=False),
    )


def test_intervals_of_groups_that_are_not_read() -> None:
    """An interval of a group that nothing reads has no effect, and a warning says so; summaries
    read groups, too."""
    config, problems = read(
        """
        [[inputs.libvirt]]
          statistics_groups = ["state"]
          additional_statistics = ["node"]
          group_intervals = { balloon = "1m", block = "1m", vcpu_mapping = "1m" }
        """
    )
    assert problems.errors == [] and problems.warnings == [
        f'inputs.libvirt[0].group_intervals.{name}: has no effect: "{name}" is not in {option}'
        for name, option in (
            ("block", "statistics_groups"),
            ("vcpu_mapping", "additional_statistics"),
        )
    ]
    plan = plan_of(config.hypervisors[0], "")
    assert plan.intervals == {"state": 0.0, "balloon": 60.0, "vcpu": 0.0}


def test_globs_select_domains() -> None:
    """Globs may contain variables; domain_include excludes domains only if both have items."""
    text = '[[inputs.libvirt]]\ndomains = []\ndomain_include = ["web-[0-9]", "${NAME}*"]'
    assert table(text, NAME="db").domain_include == ("web-[0-9]", "db*")
    text = '[[inputs.libvirt]]\ndomains = ["a"]\ndomain_include = []'
    assert table(text).domains == ("a",)


def test_names_of_tags_that_are_not_in_use_are_free() -> None:
    """Names of additional tags can be given to other tags as long as they are not configured."""
    found = table(
        """
        [[inputs.libvirt]]
          additional_domain_tags = ["uuid"]
          [inputs.libvirt.tags]
            title = "t"
          [[inputs.libvirt.metadata_tags]]
            namespace = "urn:a"
            path = "app"
            tag = "bridge"
        """
    )
    assert found.tags == {"title": "t"} and found.metadata_tags[0].tag == "bridge"


def test_an_alias_of_libvirt_is_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias in libvirt.conf is accepted, another word is not."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "libvirt").mkdir()
    (tmp_path / "libvirt/libvirt.conf").write_text(
        '#uri_aliases = ["foo=x"]\nuri_aliases = [\n  "kvm2=qemu+ssh://me@[::1]/system", # "a=b"\n'
        "  'x-1=qemu:///system',\n]\n"
    )
    assert aliases() == {"kvm2": "qemu+ssh://me@[::1]/system", "x-1": "qemu:///system"}
    assert table('[[inputs.libvirt]]\nlibvirt_uri = "kvm2"').libvirt_uri == "kvm2"
    for word in ("foo", "qemu:/system", "1://x"):
        _, problems = read(f'[[inputs.libvirt]]\nlibvirt_uri = "{word}"')
        assert "such as qemu:///system" in problems.errors[0]


def test_every_option_can_be_set_by_its_name() -> None:
    """The options are the fields of HypervisorConfig, and the tables of sources."""
    _, problems = read("[[inputs.libvirt]]\nnonsense = 1")
    allowed = problems.errors[0].partition("(allowed: ")[2].rstrip(")").split(", ")
    fields = {field.name for field in dataclasses.fields(HypervisorConfig)}
    assert set(allowed) == (fields - {"source_tables"}) | set(SOURCES)


@pytest.mark.parametrize(
    ("options", "groups", "additions", "sources"),
    [
        # An additional statistic or a source without any group is valid.
        (
            'statistics_groups = []\nadditional_statistics = ["vcpu_mapping"]',
            [],
            ["vcpu_mapping"],
            [],
        ),
        ('statistics_groups = []\nadditional_statistics = ["job"]', [], [], ["job"]),
        # The order of groups does not depend on the configuration; the full set has the group vm.
        ('statistics_groups = ["vm", "vcpu", "state"]', ["state", "vcpu", "vm"], [], []),
        ('metric_set = "full"', [*STATISTICS_GROUPS], [], []),
    ],
)
def test_what_is_gathered(
    options: str, groups: list[str], additions: list[str], sources: list[str]
) -> None:
    """Groups of the bulk statistics, additional statistics and sources."""
    found = table(f"[[inputs.libvirt]]\n{options}")
    gathered = (found.groups, found.additions, found.sources)
    assert [[each.name for each in kind] for kind in gathered] == [groups, additions, sources]


def test_tables() -> None:
    """Each table is one hypervisor; [inputs.libvirt] means the same as [[inputs.libvirt]], as for
    Telegraf. An empty URI means the default, as for the built-in plugin."""
    config, _ = read('[[inputs.libvirt]]\nlibvirt_uri="a:///"\n[[inputs.libvirt]]\ntimeout="1s"')
    assert [item.libvirt_uri for item in config.hypervisors] == ["a:///", "qemu:///system"]
    assert [item.timeout for item in config.hypervisors] == [5 * 10**9, 10**9]
    assert table('[inputs.libvirt]\ntimeout = "2s"').timeout == 2 * 10**9
    assert table('[[inputs.libvirt]]\nlibvirt_uri = ""').libvirt_uri == "qemu:///system"


def test_variables_are_expanded_everywhere() -> None:
    """Variables in any string are expanded once, with an optional default."""
    found = table(
        """
        [[inputs.libvirt]]
          libvirt_uri = "qemu+ssh://${USER_}@${HOST}/system"
          domains = ["${A}-${B}", "$A", "${B:-other}", "${C:-other}", "${C:-}x", "${not a name}"]
          timeout = "${T}"
          [inputs.libvirt.tags]
            a = "${A}"
        """,
        USER_="u",
        HOST="h",
        A="${B}",
        B="",
        T="3s",
    )
    assert found.libvirt_uri == "qemu+ssh://u@h/system"
    assert found.domains == ("${B}-", "$A", "other", "other", "x", "${not a name}")
    assert found.timeout == 3 * 10**9 and found.tags == {"a": "${B}"}


def test_value_of_a_variable_is_checked() -> None:
    """The value of a variable is validated like any other value."""
    _, problems = read('[[inputs.libvirt]]\ntimeout = "${T}"', T="soon")
    assert len(problems.errors) == 1 and problems.errors[0].endswith('got "soon"')


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_password_that_others_may_read_gives_a_warning(
    tmp_path: Path, mode: int, warned: bool
) -> None:
    """A readable file with a password gives a warning, which does not have the password."""
    path = tmp_path / "plugin.conf"
    path.write_text('[[inputs.libvirt]]\nlibvirt_uri = "esx://root:secret@host/"')
    path.chmod(mode)
    warnings = load(path, {}).warnings
    assert bool(warnings) is warned
    assert "secret" not in "".join(warnings)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error about an unreadable file, a FIFO without writer, a device or a file that is too
    large has its path and the reason."""
    fifo, large = tmp_path / "fifo", tmp_path / "large"
    os.mkfifo(fifo)
    large.touch()
    os.truncate(large, 1 << 40)
    for path, reason in (
        (tmp_path / "missing.conf", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("n" * 300), "File name too long"),
        (fifo, "it is a FIFO that no program writes"),
        (Path("/dev/zero"), "it is not a regular file"),
        (large, "it is larger than 8 MiB"),
    ):
        with pytest.raises(ConfigError) as raised:
            load(path, {})
        assert raised.value.problems == [f"{path}: cannot be read: {reason}"]


TOML_VALUES = st.recursive(
    st.text() | st.integers() | st.booleans() | st.floats() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OPTION_NAMES = st.sampled_from(
    [field.name for field in dataclasses.fields(HypervisorConfig)]
    + ["domain_names", "libvirt_metrics", *SOURCES]
)


@given(st.dictionaries(OPTION_NAMES | st.text(), TOML_VALUES))
def test_any_table_is_either_good_or_explained(values: dict[str, object]) -> None:
    """Any table is accepted or explained: each error begins with its table."""
    problems = Problems()
    config = parse({"inputs": {"libvirt": [values]}}, {}, problems)
    assert len(config.hypervisors) == 1
    for error in problems.errors:
        assert error.startswith("inputs.libvirt[0]")


def test_tables_of_sources() -> None:
    """A source's table overrides its defaults; without one they apply."""
    found = table(
        """
        [[inputs.libvirt]]
          additional_statistics = ["job", "block_job"]
          timeout = "2s"
          [inputs.libvirt.job]
            interval = "1m"
            timeout = "300ms"
          [inputs.libvirt.tags]
            rack = "r1"
        """
    )
    assert found.tags == {"rack": "r1"}
    job, block_job = found.sources
    assert (job.name, block_job.name) == ("job", "block_job")
    assert found.source_tables == {"job": SourceTable(60 * 10**9, 300 * 10**6)}
    settings = found.settings(job)
    assert (settings.interval, settings.timeout) == (60 * 10**9, 300 * 10**6)
    settings = found.settings(block_job)
    assert (settings.interval, settings.timeout) == (0, 2 * 10**9)


def errors_of(uri: str) -> list[str]:
    """The errors of a configuration with this URI, without their places."""
    errors = read(f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"')[1].errors
    return [error.partition(": ")[2] for error in errors]


def test_parameters_of_ssh_uris_are_checked() -> None:
    """A wrong method or a wrong way to verify host keys is an error, for the transport ssh."""
    uri = "qemu+{}://h/system?sshauth={}&known_hosts_verify={}"
    assert errors_of(uri.format("ssh", "agent,PrivKey,magic", "perhaps")) == [
        "expected sshauth with agent, privkey, password, keyboard-interactive",
        "expected known_hosts_verify with normal, auto, ignore",
    ]
    assert errors_of(uri.format("ssh", "agent", "auto")) == []
    assert errors_of(uri.format("libssh2", "magic", "perhaps")) == []


@pytest.mark.parametrize("transport", ["ssh", "libssh", "libssh2"])
@pytest.mark.parametrize("methods", ["password", "Keyboard-Interactive", "password,password"])
def test_methods_of_ssh_that_would_ask(transport: str, methods: str) -> None:
    """Nobody answers a question for a password, so another method must be there."""
    uri = "qemu+{}://h/system?sshauth={}"
    assert errors_of(uri.format(transport, methods)) == ["expected sshauth with agent or privkey"]
    assert errors_of(uri.format(transport, f"{methods},privkey")) == []
    assert errors_of(uri.format("tls", methods)) == []


AGENT = 'additional_statistics = ["guest_agent"]'
TAGS = 'additional_domain_tags = ["title", "instance_name"]'
IN_PLACE = "the tag title takes the place of the field title of libvirt_domain"
NO_GLOB = 'is a name, not a glob; did you mean domain_include = ["web*"]?'
NOT_NEGATED = '"!" negates only within brackets; did you mean domain_include = ["db"]?'


@pytest.mark.parametrize(
    ("table", "warning"),
    [
        # A domain may have such a name, so it is no error.
        ('domains = ["a", "web*"]', f"domains[1]: {NO_GLOB}"),
        ('domain_exclude = ["[!x]", "!db"]', f"domain_exclude[1]: {NOT_NEGATED}"),
        (TAGS, ""),
        (f'{TAGS}\nadditional_statistics = ["domain"]', f"additional_domain_tags: {IN_PLACE}"),
        ('[inputs.libvirt.tags]\ntimeout = "5s"', "tags.timeout: is read as a tag; the option"),
        ('[inputs.libvirt.job]\ninterval = "1m"', 'job: has no effect: "job" is not in addition'),
        ("group_intervals = { spread = false }", "group_intervals.spread: has no effect"),
        ('domain_names = ["a"]', "domain_names: is read as domains; write domains instead"),
        ('libvirt_metrics = ["vcpu"]', "libvirt_metrics: is read as statistics_groups; write sta"),
        ('libvirt_uri = "qemu+ssh://h/system?keyfiel=/k"', "parameter 1 of the URI; did you mean"),
        ('libvirt_uri = "qemu:///system?mode=direct&hunter2=x"', "does not know parameter 2"),
        ('libvirt_uri = "qemu+ssh://h/system?socket=/s"', "the far host needs nc"),
        ('libvirt_uri = "qemu+ssh://h/system?keyfile=/k&no_tty=1"', ""),
        ('libvirt_uri = "qemu:///system?socket=/s"', ""),
        (f'timeout = "1s"\n{AGENT}', "timeout: too short for guest"),
        (
            f'{AGENT}\n[inputs.libvirt.guest_agent]\ntimeout = "1500ms"',
            "guest_agent.timeout: too short for guest_agent: expected at least 2s",
        ),
        (f'timeout = "2s"\n{AGENT}', ""),
    ],
)
def test_probable_mistakes(tmp_path: Path, table: str, warning: str) -> None:
    """What cannot work as it is meant, and an old name, is one warning, without the name of an
    unknown parameter, which may be a secret."""
    path = tmp_path / "plugin.conf"
    path.write_text(f"[[inputs.libvirt]]\n{table}\n")
    found = load(path, {}).warnings
    assert len(found) == bool(warning)
    for text in found:
        assert "inputs.libvirt[0]." in text and warning in text and "hunter2" not in text


def test_old_names_are_read() -> None:
    """The old option names work."""
    found = table('[[inputs.libvirt]]\ndomain_names = ["a*"]\nlibvirt_metrics = ["state"]')
    assert (found.domains, found.statistics_groups) == (("a*",), ("state",))
