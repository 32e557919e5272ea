"""The port matrix of SECURITY.md says what programs, samples and deployments do."""

import re
from typing import Any

import typer
import yaml
from pydantic import BaseModel

import aggregator.app
import silo_node.app
from imaging.sources.archive import DicomWeb, Dimse
from silo_node.state import StateDirectory
from tests.deploy.systemd import units
from tests.docs.pages import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
ROWS = {
    int(row[0]): row
    for line in TEXT.splitlines()
    if re.match(r"\| \d+ \| ", line) and len(row := [cell.strip() for cell in line.strip("|").split("|")]) == 7
}
FROM, TO, PORT, WHEN = 1, 2, 3, 6


def option(app: typer.Typer, command: str, name: str) -> Any:
    [found] = [one for one in typer.main.get_command(app).commands[command].params if name in one.opts]  # type: ignore[attr-defined]
    return found


def test_the_flows_are_those_of_the_figure() -> None:
    drawn = (ROOT / "docs/figures/trust-boundaries.svg").read_text()
    numbers = {int(found) for found in re.findall(r">(\d+)</text>", drawn)}
    assert numbers == set(ROWS) == set(range(1, 11))


def test_what_is_off_is_off() -> None:
    assert ROWS[3][WHEN].startswith("off")
    assert option(aggregator.app.app, "serve", "--one-way-listen").default is None
    assert ROWS[9][WHEN] == "off"
    for app, command in ((aggregator.app.app, "serve"), (silo_node.app.app, "run")):
        assert option(app, command, "--watch-at").default is None
    assert ROWS[8][WHEN].startswith("off")
    assert Dimse.model_fields["retrieve"].default == "get"
    for model in (Dimse, DicomWeb):
        assert model.model_fields["unencrypted"].default is False


def test_the_ports_are_those_of_samples_and_deployments() -> None:
    assert option(aggregator.app.app, "serve", "--listen").required
    listens = units.environment("aggregator")["LISTEN"].rpartition(":")[2]
    assert f"TCP {listens}," in ROWS[1][PORT]
    pacs = yaml.safe_load((ROOT / "deploy/samples/pacs.yaml").read_text())
    assert f"TCP {pacs['dimse']['port']}," in ROWS[6][PORT]


def test_every_option_and_key_that_is_named_exists() -> None:
    named = set(re.findall(r"`([^`]+)`", "\n".join(" ".join(row) for row in ROWS.values())))
    options = {word for word in named if word.startswith("--")}
    for word in options:
        option(aggregator.app.app, "serve", word)
    models: dict[str, type[BaseModel]] = {"dimse": Dimse, "dicomweb": DicomWeb}
    keys = {word for word in named if word.partition(".")[0] in models}
    for key in keys:
        section, _, name = key.partition(":")[0].partition(".")
        assert name in models[section].model_fields
    silo = typer.main.get_command(silo_node.app.app).commands  # type: ignore[attr-defined]
    commands = {word for word in named if word.split()[0] in silo}
    assert commands == {"pull", "pacs echo", "doctor"}
    assert "proxy.url" in (StateDirectory.proxy.__doc__ or "")
    assert named == options | keys | commands | {"proxy.url", "/livez", "/readyz", "/metrics"}


def test_only_one_flow_comes_in_to_a_silo() -> None:
    assert [number for number, row in ROWS.items() if row[TO] == "silo"] == [8]
    assert {number for number, row in ROWS.items() if "aggregator" in row[FROM]} == set()


def test_what_remains_of_a_threat_is_the_item_that_is_meant() -> None:
    items = dict(re.findall(r"^(\d+)\. \*\*(.+?)\.?\*\*", TEXT.partition("### What is not promised")[2], re.MULTILINE))
    cells = re.findall(r"\| non-promises? ([0-9, and]+) \|", TEXT)
    meant = [items[number] for cell in cells for number in re.findall(r"\d+", cell)]
    assert [title.split()[0] for title in meant] == [
        *("Invented", "A", "A"),
        *("More", "Metrics", "A", "Side", "The", "Privacy"),
        *("Availability", "An"),
    ]
