import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.numpy import save

from deploy.consortium.signing import sign_draft
from imaging.networks import building
from imaging.tasks import ranking
from privacy.dp.gradients import tensor_shapes
from privacy.errors import ConfigError, DataError, IdentityError, StudyError
from privacy.study import Encryption, Evaluation, Study, dump, load_signed
from privacy.update import UpdateLayout
from tests.consortium import Consortium

CLASSIFIER = {"size": [32, 32], "widths": [8, 16], "strides": [2, 2], "norm_groups": 4}
SILOS = ["st-marys", "st-johns", "st-pauls"]


def draft(folder: Path, **changes: Any) -> Path:
    """A draft with as little as possible, without DP unless a test says otherwise: that needs no accountant."""
    content = {
        "format": "collegium-study/1",
        "name": "pneumonia",
        "task": {"kind": "binary_classification", "label": "pneumonia"},
        "model": {"name": "classifier", "parameters": dict(CLASSIFIER), "seed": 1},
        "transforms": [{"name": "resize", "parameters": {"size": 32}}],
        "training": {"rounds": 3, "local_steps": 2, "learning_rate": 0.1},
        "privacy": {"mechanism": "none", "clip": 1.0, "sampling_rate": 0.1, "lot_size": 20},
        "roster": {"aggregator": "hub", "silos": SILOS},
    } | changes
    path = folder / "draft.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def private(**changes: Any) -> dict[str, Any]:
    return {
        "mechanism": "dp_sgd",
        "epsilon": 1.0,
        "delta": 1e-4,
        "clip": 1.0,
        "sampling_rate": 0.1,
        "lot_size": 20,
    } | changes


def test_names_become_the_admitted_keys(full: Consortium, tmp_path: Path) -> None:
    completed = sign_draft(full.authority, draft(tmp_path))
    roster = completed.signed.study.roster
    for party in (*roster.silos, roster.aggregator):
        role = "aggregator" if party.name == "hub" else "silo"
        key = (full.root / "consortium" / "members" / f"{role}-{party.name}.json").read_text()
        assert party.identity in key
    assert [silo.name for silo in roster.silos] == SILOS
    assert (roster.threshold, roster.steward) == (3, "st-marys")
    assert completed.signed.study.consortium == "chest-net"
    assert completed.epsilon is None


def test_what_was_signed_is_what_a_silo_reads(full: Consortium, tmp_path: Path) -> None:
    completed = sign_draft(full.authority, draft(tmp_path))
    path = tmp_path / "study.yaml"
    path.write_text(dump(completed.signed))
    assert load_signed(path, full.authority.public_study_key) == completed.signed.study
    path.write_text(path.read_text().replace("rounds: 3", "rounds: 4"))
    with pytest.raises(StudyError) as caught:
        load_signed(path, full.authority.public_study_key)
    assert caught.value.code == "study.altered"


def test_noise_is_computed_for_the_whole_study(full: Consortium, tmp_path: Path) -> None:
    completed = sign_draft(full.authority, draft(tmp_path, privacy=private()))
    assert completed.epsilon is not None
    assert 0.9 < completed.epsilon <= 1.0
    noise = completed.signed.study.privacy.noise_multiplier
    assert noise is not None
    again = sign_draft(full.authority, draft(tmp_path, privacy=private(noise_multiplier=noise)))
    assert again.signed.study == completed.signed.study
    with pytest.raises(StudyError, match="more than the target") as caught:
        sign_draft(full.authority, draft(tmp_path, privacy=private(noise_multiplier=noise * 0.9)))
    assert caught.value.code == "study.noise_too_small"


def test_the_length_of_an_upload_is_that_of_every_silos_layout(full: Consortium, tmp_path: Path) -> None:
    study = sign_draft(full.authority, draft(tmp_path)).signed.study
    with torch.device("meta"):
        network = building.build("classifier", CLASSIFIER, seed=7)
    length = UpdateLayout(tensor_shapes(network), ranking.fields(Evaluation().bins)).length
    assert length > sum(parameter.numel() for parameter in network.parameters())
    assert study.upload_length == length
    study.check_length(length)
    with pytest.raises(StudyError) as caught:
        study.check_length(length + 1)
    assert caught.value.code == "study.other_length"
    with pytest.raises(StudyError) as caught:
        study.model_copy(update={"encryption": Encryption()}).check_length(length)
    assert caught.value.code == "study.no_length"


def test_a_length_is_signed_as_given_where_the_model_cannot_be_built(
    full: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    given = sign_draft(full.authority, draft(tmp_path, encryption={"length": 4321})).signed.study
    assert given.upload_length == 4321
    with pytest.raises(StudyError, match=r"has no .torch.; .* as encryption\.length") as caught:
        sign_draft(full.authority, draft(tmp_path))
    assert caught.value.code == "study.no_length"


def test_what_a_study_starts_from_must_fit_its_model_before_it_is_signed(full: Consortium, tmp_path: Path) -> None:
    file = tmp_path / "public.safetensors"

    def sign_with(seed: int, widths: list[int], weights: Path | None) -> Study:
        network = building.build("classifier", {**CLASSIFIER, "widths": widths}, seed)
        file.write_bytes(save({name: weight.detach().numpy() for name, weight in network.named_parameters()}))
        said = {"name": "classifier", "parameters": dict(CLASSIFIER), "seed": 1}
        said["pretrained"] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        return sign_draft(full.authority, draft(tmp_path, model=said), weights).signed.study

    assert (
        sign_with(2, [8, 16], file).upload_length
        == sign_draft(full.authority, draft(tmp_path)).signed.study.upload_length
    )
    for widths, weights, code in (([8, 8], file, "pretrained.shape"), ([8, 16], None, "weights.missing")):
        with pytest.raises((ConfigError, DataError)) as caught:
            sign_with(2, widths, weights)
        assert caught.value.code == code
    with pytest.raises(ConfigError) as caught:
        sign_draft(full.authority, draft(tmp_path), file)
    assert caught.value.code == "weights.unused"


def test_a_key_that_is_given_must_be_the_admitted_one(full: Consortium, tmp_path: Path) -> None:
    honest = sign_draft(full.authority, draft(tmp_path)).signed.study.roster
    given: list[Any] = [silo.model_dump() for silo in honest.silos]
    roster = {"aggregator": "hub", "silos": given}
    assert sign_draft(full.authority, draft(tmp_path, roster=roster)).signed.study.roster == honest
    given[1] = {"name": "st-johns", "identity": "0" * 64}
    with pytest.raises(StudyError, match="st-johns") as caught:
        sign_draft(full.authority, draft(tmp_path, roster=roster))
    assert caught.value.code == "study.other_identity"


@pytest.mark.parametrize(
    "roster",
    [
        {"aggregator": "hub", "silos": ["st-marys", "st-johns", "nobody"]},
        {"aggregator": "st-marys", "silos": SILOS},
        {"aggregator": "hub", "silos": ["hub", "st-johns", "st-pauls"]},
    ],
    ids=["not admitted", "a silo as aggregator", "an aggregator as silo"],
)
def test_only_admitted_members_take_part(full: Consortium, tmp_path: Path, roster: dict[str, Any]) -> None:
    with pytest.raises(IdentityError, match="is not admitted") as caught:
        sign_draft(full.authority, draft(tmp_path, roster=roster))
    assert caught.value.code == "identity.unknown_member"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"roster": {"aggregator": "hub", "silos": SILOS, "threshold": 2}}, "threshold must be from 3 to 3"),
        ({"roster": {"aggregator": "hub", "silos": SILOS, "steward": "hub"}}, "steward must be one of the silos"),
        ({"roster": {"aggregator": "hub", "silos": [*SILOS, "st-marys"]}}, "its own name"),
        ({"aggregation": {"weights": {"st-marys": 1.0}}}, "weights must name every silo"),
        ({"consortium": "other-net"}, "is for consortium 'other-net'"),
        ({"encryption": {"ring": "large"}}, "set encryption.ring to small"),
        ({"encryption": {"ring": "small", "length": 200_001}}, "set encryption.ring to large"),
    ],
)
def test_an_unsound_study_is_not_signed(full: Consortium, tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(StudyError, match=text):
        sign_draft(full.authority, draft(tmp_path, **changes))


def test_a_model_that_no_silo_could_build_is_not_signed(full: Consortium, tmp_path: Path) -> None:
    for model in ({"name": "transformer", "seed": 1}, {"name": "classifier", "parameters": {"size": [32]}, "seed": 1}):
        with pytest.raises(DataError):
            sign_draft(full.authority, draft(tmp_path, model=model))


def test_an_unknown_key_is_named_with_its_line(full: Consortium, tmp_path: Path) -> None:
    path = draft(tmp_path)
    path.write_text(path.read_text() + "epochs: 3\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(ConfigError, match=rf"draft\.yaml line {line}: unknown key 'epochs'"):
        sign_draft(full.authority, path)
