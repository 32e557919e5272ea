import re
from pathlib import Path

import pytest

from imaging.errors import ImagingError
from imaging.sources.errors import ArchiveUnreachable, StorageRefused
from privacy.errors import ConfigError, DataError, StorageError, Unreachable
from silo_node.cohorts import archives
from silo_node.imaging_errors import imaging_errors

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "deploy/samples"


@pytest.mark.parametrize(
    ("raised", "kind", "code"),
    [
        (ArchiveUnreachable("nobody"), Unreachable, "archive.unreachable"),
        (StorageRefused("full", "pull.storage"), StorageError, "pull.storage"),
        (ImagingError("no", "pull.empty"), DataError, "pull.empty"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(raised, kind, code):
    with pytest.raises(kind) as caught, imaging_errors():
        raise raised
    assert caught.value.code == code


def test_files_that_do_not_fit_are_refused_before_anything_is_made(tmp_path):
    pacs, query, folder = tmp_path / "pacs.yaml", tmp_path / "query.yaml", tmp_path / "incoming"
    pacs.write_text((SAMPLES / "pacs.yaml").read_text())
    query.write_text((SAMPLES / "query.yaml").read_text() + "modality: CT\n")
    with pytest.raises(ConfigError, match="unknown key 'modality'"):
        archives.pull(pacs, query, folder)
    assert not folder.exists()
    pacs.write_text((SAMPLES / "pacs.yaml").read_text().replace("  tls:", "  password: secret\n  tls:"))
    with pytest.raises(ConfigError, match="unknown key") as caught:
        archives.echo(pacs)
    assert "secret" not in str(caught.value)


def test_the_sample_names_files_that_are_looked_for_beside_it():
    with pytest.raises(DataError) as caught:
        archives.echo(SAMPLES / "pacs.yaml")
    assert caught.value.code == "archive.certificate"


def test_every_code_of_a_pull_is_in_the_guide():
    source = "".join(path.read_text() for path in sorted((ROOT / "imaging/sources").glob("*.py")))
    codes = set(re.findall(r'"((?:archive|pull|query)\.[a-z_]+)"', source)) - {"pull.sqlite"}
    codes |= {"query.too_many_studies", "query.too_many_instances"}
    guide = (ROOT / "docs/how-to/hospital-it.md").read_text()
    assert {code for code in codes if f"`{code}`" not in guide} == set()
    assert len(codes) > 15
