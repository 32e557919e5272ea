import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from imaging.transforms import pipeline as transforms
from privacy.dp.audit import inversion
from privacy.dp.audit.finding import CLAIM, Finding, Inversion
from privacy.errors import ConfigError, PreflightFailed
from privacy.ledger.store import Ledger
from silo_node.audits import attacks
from silo_node.audits.attacks import Effort
from silo_node.audits.audit import Audit, check, describe, write
from silo_node.state import StudyDirectory
from tests.privacy.studies import study

SOUND, BROKEN = 821, 1000
SMALL: dict[str, Any] = {
    "model": {
        "name": "classifier",
        "parameters": {"size": [16, 16], "widths": [4, 4], "strides": [2, 2], "norm_groups": 2},
        "seed": 1,
    },
    "transforms": [{"name": "resize", "parameters": {"size": [16, 16]}}, {"name": "standardise"}],
}


def finding(correct: int = SOUND, what: str = "one run") -> Finding:
    return Finding(what, CLAIM, 1e-5, 0.95, 65536, 1024, correct, 0.6, 1.0, 2.0119, 1, 1)


def audit(*findings: Finding) -> Audit:
    return Audit("trial", "ab" * 32, findings, Inversion(0.9, 0.03, 1.5))


@pytest.fixture
def folder(tmp_path: Path) -> StudyDirectory:
    made = StudyDirectory(tmp_path / "studies" / "trial")
    made.make()
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger", "spiffe://chest-net/silo/north", Ed25519PrivateKey.generate())


def test_the_ledger_holds_every_bound_and_the_digest_of_the_file(folder: StudyDirectory, ledger: Ledger) -> None:
    done = audit(finding(), finding(what="membership inference"))
    data = (folder.root / write(done, folder, ledger)).read_bytes()
    assert json.loads(data) == json.loads(json.dumps(done.to_json()))
    first, second = (entry.body for entry in ledger.entries)
    assert first == {
        "what": "study trial: one run",
        "claimed_epsilon": 2.0,
        "lower_bound": finding().lower_bound,
        "confidence": 0.95,
        "guesses": 1024,
        "outcome": "consistent",
        "digest": hashlib.sha256(data).hexdigest(),
    }
    assert second["what"] == "study trial: membership inference"


def test_a_bound_above_the_claim_is_written_down_and_an_error(folder: StudyDirectory, ledger: Ledger) -> None:
    done = audit(finding(), finding(BROKEN))
    name = write(done, folder, ledger)
    assert [entry.body["outcome"] for entry in ledger.entries] == ["consistent", "broken"]
    with pytest.raises(PreflightFailed) as caught:
        check(done, name)
    assert caught.value.code == "audit.broken"
    check(audit(finding()), name)


def test_it_is_told_in_plain_words() -> None:
    told = describe(audit(finding()))
    assert "epsilon is at least 1." in told
    assert "confidence 95%" in told
    assert "821 of 1024 fixed guesses right, out of 65536 coins; 60.0% when all are guessed" in told
    assert "correlation with the true image 0.03 with the study's noise, 0.90 without any" in told
    assert "not that none can" in told


def test_a_study_without_privacy_is_not_audited() -> None:
    bare = {"mechanism": "none", "clip": 1.0, "sampling_rate": 0.5, "lot_size": 9}
    with pytest.raises(ConfigError) as caught:
        attacks.perform(study(privacy=bare, **SMALL), Effort(1, 1, 16), lambda what, done, of: None, 1)
    assert caught.value.code == "audit.unprotected"


def test_made_up_patients_differ_and_pass_through_the_studys_transforms() -> None:
    pipeline = transforms.build([("resize", {"size": [16, 16]}), ("standardise", {})])
    made = attacks._made_up(pipeline)
    one, other = next(made), next(made)
    assert one.shape == (1, 16, 16)
    assert abs(float(one.mean())) < 1e-5
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_all_attacks_are_performed_and_show_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        inversion, "reconstruct", lambda network, loss, update, shape, target: np.zeros(shape, np.float32)
    )
    told: list[tuple[str, int, int]] = []
    plan = {"rounds": 3, "local_steps": 1, "learning_rate": 0.5}
    findings, drawn = attacks.perform(
        study(training=plan, **SMALL), Effort(1, 1, 16), lambda *said: told.append(said), 1
    )
    assert [found.what for found in findings] == [attacks.EVERY_PATIENT, attacks.AS_SAMPLED, "membership inference"]
    assert [(found.canaries, found.rounds, found.sampling_rate) for found in findings] == [
        (4096, 1, 1.0),
        (4096, 3, 0.25),
        (16, 1, 1.0),
    ]
    assert [last for last in told if last[1] == last[2]] == [
        (f.what, n, n) for f, n in zip(findings, (1, 1, 16), strict=True)
    ]
    assert drawn.noise_multiplier == 2.0
