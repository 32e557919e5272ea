import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deploy.consortium.signing import Draft
from privacy import console
from privacy.configuration import load, parse
from privacy.errors import CollegiumError
from privacy.token.description import TokenDescription
from silo_node.configuration import SiloConfig
from tests.docs.pages import PAGES, ROOT, block, blocks

PROGRAMS = {
    "collegium-silo": "silo_node.app",
    "collegium-aggregator": "aggregator.app",
    "collegium-consortium": "deploy.consortium.app",
    "collegium-compliance": "compliance.app",
    "collegium-sandbox": "deploy.sandbox.app",
}


def errors(base: type[CollegiumError] = CollegiumError) -> list[type[CollegiumError]]:
    return [base, *(found for child in base.__subclasses__() for found in errors(child))]


def command(words: list[str]) -> Any:
    """The command that the words name, and the words that are left."""
    app = importlib.import_module(PROGRAMS[words[0]]).app
    found: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(found, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in found.commands, f"{words[0]} has no command {rest[0]}"
        found, rest = found.commands[rest[0]], rest[1:]
    return found, rest


ALL_COMMANDS = [
    pytest.param(line, id=f"{page.name}-{number}-{line[:40]}")
    for page in PAGES
    for part in blocks(page)
    if part.language == "bash"
    for number, line in enumerate(part.commands)
]


@pytest.mark.parametrize("line", ALL_COMMANDS)
def test_every_command_in_the_documentation_exists(line: str) -> None:
    words = shlex.split(line)
    if words[:2] == ["docker", "compose"]:
        words = composed(words[2:])
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] in PROGRAMS:
        found, rest = command(words)
        known = {name for parameter in found.params for name in parameter.opts}
        unknown = [word for word in rest if word.startswith("-") and word.split("=")[0] not in known]
        assert not unknown, f"{words[0]} does not know {unknown}"
    else:
        assert words[0] in (
            "mkdir",
            "cp",
            "chown",
            "chmod",
            "systemd-tmpfiles",
            "docker",
            "python",
            "touch",
            "openssl",
            "mv",
        )


def composed(words: list[str]) -> list[str]:
    """The command of ours that compose runs, or compose's own."""
    (env, settings), (file, name) = words[:2], words[2:4]
    assert (env, file) == ("--env-file", "-f")
    folder = ROOT / "deploy" / "compose"
    assert (folder / settings).exists()
    (service,) = yaml.safe_load((folder / name).read_text())["services"]
    if words[4] != "run":
        assert words[4:] == ["up", "--detach"]
        return ["docker"]
    assert words[4:6] == ["run", "--rm"]
    rest = words[8:] if words[6] == "--volume" else words[6:]
    assert rest[0] == service
    return [f"collegium-{service}", *rest[1:]]


def test_every_command_has_help_with_an_example() -> None:
    def leaves(found: Any, path: str) -> list[tuple[str, Any]]:
        if hasattr(found, "commands"):
            return [leaf for name, child in found.commands.items() for leaf in leaves(child, f"{path} {name}")]
        return [(path, found)]

    for program, module in PROGRAMS.items():
        for path, found in leaves(typer.main.get_command(importlib.import_module(module).app), program):
            text = f"{found.help}\n{found.epilog or ''}"
            assert "Example:" in text, path
            assert path in text.split("Example:")[1], path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    table = (ROOT / "docs/reference/exit-codes.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (?:`(\w+)`)? ?\|", table, re.MULTILINE))
    of_kernel = {str(e.exit_code): e.__name__ for e in errors() if e.__module__ == "privacy.errors"}
    assert {code: name for code, name in rows.items() if name} == of_kernel
    assert {code for code, name in rows.items() if not name} == {
        "0",
        str(console.EX_SOFTWARE),
        str(console.EX_INTERRUPTED),
    }


@pytest.mark.parametrize(
    ("script", "made"),
    [
        ("docs/figures/data_way.py", "docs/figures/data-way.svg"),
        ("docs/figures/trust_boundaries.py", "docs/figures/trust-boundaries.svg"),
        ("docs/reference/configuration_keys.py", "docs/reference/configuration.md"),
        ("docs/reference/networks_tables.py", "docs/reference/networks.md"),
        ("docs/reference/error_codes_tables.py", "docs/reference/error-codes.md"),
        ("docs/reference/events_tables.py", "docs/reference/events.md"),
        ("docs/reference/metrics_tables.py", "docs/reference/metrics.md"),
    ],
)
def test_generated_parts_are_up_to_date(script: str, made: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # benchmarks are no installed package
    printed = subprocess.run(
        [sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert (ROOT / made).read_text() == printed, "run 'make reference'"


def test_sample_files_are_read_by_their_programs() -> None:
    samples = ROOT / "deploy/samples"
    assert load(samples / "study.yaml", Draft).roster.aggregator == "adder"
    assert load(samples / "silo.yaml", SiloConfig).policy.allow_without_dp is False
    config = importlib.import_module("aggregator.configuration").AggregatorConfig
    assert load(samples / "aggregator.yaml", config).calls_at_a_time == 8
    assert importlib.import_module("imaging.deidentification.profile").read(samples / "deidentify.yaml").version == 1
    assert {path.name for path in samples.iterdir() if path.suffix == ".yaml"} == {
        "study.yaml",
        "silo.yaml",
        "aggregator.yaml",
        "pacs.yaml",
        "query.yaml",
        "deidentify.yaml",
        "labelling.yaml",
        "pkcs11.yaml",
    }
    assert load(samples / "pkcs11.yaml", TokenDescription).key_label == "st-marys"
    labelling = load(samples / "labelling.yaml", importlib.import_module("imaging.cohorts.labelling").Labelling)
    assert labelling.numbers == {"anterior": (1,), "posterior": (2,)}
    archive = load(samples / "pacs.yaml", importlib.import_module("imaging.sources.archive").ArchiveFile)
    assert archive.dimse is not None
    assert archive.dimse.retrieve == "get"
    query = load(samples / "query.yaml", importlib.import_module("imaging.sources.query").Query)
    assert query.modalities == ("CT",)


def test_sample_models_and_transforms_are_allowed() -> None:
    building = importlib.import_module("imaging.networks.building")
    pipeline = importlib.import_module("imaging.transforms.pipeline")
    for path in ("deploy/samples/study.yaml", "benchmarks/cxr.yaml"):
        draft = load(ROOT / path, Draft)
        building.blueprint(draft.model.name, draft.model.parameters)
        pipeline.validate([(step.name, step.parameters) for step in draft.transforms])


def test_the_policy_in_the_guide_is_the_sample() -> None:
    guide = [b for b in blocks(ROOT / "docs/how-to/hospital-it.md") if b.language == "yaml"]
    assert len(guide) == 1
    sample = load(ROOT / "deploy/samples/silo.yaml", SiloConfig)
    assert parse(guide[0].text.encode(), SiloConfig, name="guide") == sample


def test_every_yaml_and_json_block_is_valid() -> None:
    for page in PAGES:
        for part in blocks(page):
            assert part.language in ("bash", "yaml", "python", "text", "json"), page
            if part.language == "yaml":
                yaml.safe_load(part.text)


def test_the_makefile_installs_the_pinned_torch() -> None:
    pinned = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    assert "+" not in pinned[1]
    assert f"torch=={pinned[1]}" in (ROOT / "Makefile").read_text()


def test_make_demo_and_make_test_are_the_two_commands_of_the_readme() -> None:
    commands = block("README.md", "Collegium").commands
    assert commands == ("make demo", "make test")
    for command in commands:
        planned = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "collegium-sandbox run" in planned.stdout or "pytest" in planned.stdout
