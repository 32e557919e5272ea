"""`study explain`: the figures are those of the code that runs, and what the rules refuse is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.consortium import explanation
from deploy.consortium.app import app
from deploy.consortium.explanation import BOX_BYTES, SIGNED_BYTES, UNMASK_BYTES_A_SILO
from deploy.consortium.signing import sign_draft
from imaging.tasks import ranking
from privacy.errors import ConfigError, StudyError
from privacy.he.params import RINGS, CiphertextParams
from privacy.study import dump
from privacy.wire import bodies
from tests.consortium import Consortium
from tests.deploy.consortium.test_app import run
from tests.deploy.consortium.test_signing import SILOS, draft
from tests.privacy.studies import study
from tests.secure_round import Cast, Round

ROOT = Path(__file__).parents[3]
DENSENET121 = 7_033_403


def explained(folder: Path, *options: object, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run(app, "study", "explain", draft(folder, **changes), *options, "--json").output
    )
    return found


def test_a_draft_is_explained_before_anybody_is_admitted(tmp_path: Path) -> None:
    found = explained(tmp_path, roster={"aggregator": "hub", "silos": [f"silo-{index}" for index in range(8)]})
    assert found["signed_by"] is None
    tolerated = (found["silos"], found["threshold"], found["dropouts_tolerated"], found["collusion_tolerated"])
    assert tolerated == (8, 6, 2, 3)
    assert (found["ring"], found["security_bits"], found["bits_kept"], found["traffic"]) == ("small", 256, 16, None)


def test_a_length_counts_the_tensors_that_the_parameters_do_not_tell(tmp_path: Path) -> None:
    length = 6000 + ranking.fields(64) + 18
    assert explained(tmp_path, "--parameters", 6000, encryption={"length": length})["traffic"]["values"] == length


def test_a_signed_study_is_explained_with_the_key_that_signed_it(full: Consortium, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(dump(sign_draft(full.authority, draft(tmp_path)).signed))
    text = run(app, "study", "explain", path).output
    groups = re.search(r"signed by +((?:[0-9a-f]{4} ){15}[0-9a-f]{4})", text)
    assert groups
    for said in ("3; a round needs 3", "the aggregator with 1 silo\n", "bytes up", "estimate", "degree 4096"):
        assert said in text
    with pytest.raises(StudyError) as caught:
        run(app, "study", "explain", path, "--parameters", 6000)
    assert caught.value.code == "study.other_length"
    path.write_text(path.read_text().replace("rounds: 3", "rounds: 4"))
    with pytest.raises(StudyError) as caught:
        run(app, "study", "explain", path)
    assert caught.value.code == "study.altered"


def test_bytes_are_those_of_the_ciphertexts(tmp_path: Path) -> None:
    silos = [f"silo-{index}" for index in range(8)]
    changes = {"encryption": {"ring": "large"}, "roster": {"aggregator": "hub", "silos": silos}}
    found = explained(tmp_path, "--parameters", DENSENET121, **changes)
    params, traffic = CiphertextParams.choose(8, DENSENET121), found["traffic"]
    changes["encryption"]["length"] = traffic["values"]
    assert explained(tmp_path, **changes) == found
    values = DENSENET121 + ranking.fields(64) + 1  # one count a tensor, of at least one
    assert (found["fields"], found["degree"], found["primes"], traffic["values"]) == (10, 16384, 4, values)
    assert 0 < traffic["upload_bytes"] - params.upload_bytes(values) < 50_000
    assert 0.62 < traffic["upload_ratio"] < 0.65
    assert traffic["of_this_sum_and_seeds"] == sum(params.frame_sizes(values)) + 8 * params.seed_bytes(values)
    parts = ("of_this_sum_and_seeds", "of_this_audit", "of_this_messages")
    assert traffic["download_bytes"] == sum(traffic[part] for part in parts)


@pytest.mark.parametrize("silos", [3, 8])
def test_sizes_of_messages_are_close_to_real_ones(silos: int) -> None:
    played = Round(Cast(silos))
    advertised = played.advertise(played.cast.everyone)
    shared = played.share(advertised, played.cast.everyone)
    played.receive(shared)
    played.upload(played.cast.everyone)
    (unmask,) = played.unmask((1,), played.cast.everyone)
    for message, said in (
        (advertised[0], explanation.ADVERTISE_BYTES),
        (shared[0], SIGNED_BYTES + BOX_BYTES * silos),
        (unmask, SIGNED_BYTES + UNMASK_BYTES_A_SILO * silos),
    ):
        assert 0.8 * said < len(bodies.encode_signed(message)) <= said


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("silos", [2, 3, 8, 16, 32, 64])
def test_the_argument_holds_for_every_number_of_silos(ring: str, silos: int) -> None:
    params = CiphertextParams.choose(silos, 1_000 if ring == "small" else 1_000_000)
    text = explanation._exactness(params)
    noise, half, spare = (
        int(found) for found in re.findall(r"= (\d+), below half a unit, 2\^(\d+);.* 2\^(\d+) below", text)[0]
    )
    assert noise < 2**half
    assert params.worst_coefficient + 2**spare < params.modulus


@pytest.mark.parametrize(("slot", "said"), [(0, "listed as unprotected"), (90, "leave at multiples of 90 s")])
def test_instants_of_uploads_are_explained(tmp_path: Path, slot: int, said: str) -> None:
    assert said in run(app, "study", "explain", draft(tmp_path, aggregation={"upload_slot_seconds": slot})).output


def test_two_silos_are_told_what_masks_do_for_them(tmp_path: Path) -> None:
    path = draft(tmp_path, roster={"aggregator": "hub", "silos": SILOS[:2]})
    assert "each of two silos can subtract" in run(app, "study", "explain", path).output


@pytest.mark.parametrize(
    ("changes", "options", "text"),
    [
        (
            {"roster": {"aggregator": "hub", "silos": [*SILOS, "four"], "threshold": 2}},
            (),
            "threshold must be from 3 to 4",
        ),
        ({"roster": {"aggregator": "hub", "silos": SILOS, "steward": "hub"}}, (), "steward must be one of the silos"),
        ({}, ("--parameters", DENSENET121), "set encryption.ring to large"),
        ({"encryption": {"ring": "large"}}, ("--parameters", 6000), "set encryption.ring to small"),
        ({"encryption": {"length": 6000 + ranking.fields(64)}}, ("--parameters", 6000), "here; ask the consortium"),
    ],
)
def test_what_the_rules_refuse_is_refused(
    tmp_path: Path, changes: dict[str, Any], options: tuple[object, ...], text: str
) -> None:
    with pytest.raises(StudyError, match=text):
        run(app, "study", "explain", draft(tmp_path, **changes), *options)


def test_a_signed_study_below_the_threshold_rule_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    data = {"study": study().model_dump(mode="json"), "signature": {"key": "0" * 64, "ed25519": "0" * 128}}
    data["study"]["roster"]["threshold"] = 2
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match="threshold must be from 3 to 3"):
        run(app, "study", "explain", path)


@pytest.mark.parametrize("content", ["", "study", "nothing: 1"])
def test_what_is_no_study_is_a_configuration_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError):
        run(app, "study", "explain", path)
    with pytest.raises(ConfigError):
        run(app, "study", "explain", tmp_path / "missing.yaml")


def test_the_page_states_the_costs_that_the_estimate_uses() -> None:
    page = (ROOT / "docs/explanation/secure-aggregation.md").read_text(encoding="utf-8")
    for ring in RINGS:
        protect, opening = explanation.PROTECT_MS[ring], explanation.OPEN_MS[ring]
        row = f"| {ring} | {protect[0]:g} + {protect[1]:g} n | {opening[0]:g} + {opening[1]:g} n |"
        assert row in page
    fixed, each = explanation.EXCHANGE_MS
    assert f"{fixed:g} + {each:g} n ms" in page
    assert f"{explanation.RECOVER_MS_AT_8:g} (n / 8)^{explanation.RECOVER_EXPONENT:g} ms" in page
