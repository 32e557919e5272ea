import hashlib
import json
from pathlib import Path

import pytest

from tests.e2e import commands
from tests.e2e.scene import SILOS, STUDY, Scene


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_silo_audits_its_own_code_and_writes_it_down(approved: Scene, tmp_path: Path) -> None:
    scene = approved.copy(tmp_path / "copy")
    state = scene.state(SILOS[0])
    charged = [entry for entry in scene.entries(SILOS[0]) if entry.kind == "reserved"]
    ended = commands.run("silo", "audit", "--state", state, "--study", STUDY, "--json", patience=800).well()
    told = ended.data()
    file = state / "studies" / STUDY / told["file"]
    record = json.loads(file.read_bytes())
    assert record == {key: value for key, value in told.items() if key != "file"}
    assert file.stat().st_mode & 0o777 == 0o600
    made = [entry.body for entry in scene.entries(SILOS[0]) if entry.kind == "audited"]
    assert len(made) == len(record["findings"]) == 3
    for body, found in zip(made, record["findings"], strict=True):
        assert body["digest"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert body["claimed_epsilon"] == 2.0
        assert body["lower_bound"] == found["lower_bound"] < 2.0
        assert body["outcome"] == "consistent"
    assert record["inversion"]["outcome"] in {"hidden", "not shown"}
    assert [entry for entry in scene.entries(SILOS[0]) if entry.kind == "reserved"] == charged
