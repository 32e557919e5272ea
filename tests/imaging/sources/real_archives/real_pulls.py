"""What comes from real archives: all that a query means, as it is stored, and nothing beyond."""

import json

import pytest

from imaging.errors import ImagingError
from imaging.sources import dicomweb
from imaging.sources.pulling import Pull
from imaging.sources.query import Query
from privacy.errors import Unreachable
from tests.e2e import commands
from tests.imaging.sources.real_archives.clients import MOVE, PLAIN, dimse, query, web
from tests.imaging.sources.real_archives.stored import pixels, sent


@pytest.mark.parametrize("way", [web, dimse], ids=["web", "get"])
def test_all_that_is_meant_comes_from_orthanc_as_it_is_stored(way, orthanc, images, folder):
    archive = way(orthanc)
    archive.echo()
    summary = Pull(archive, query(), folder).run()
    assert (summary.studies, summary.series, summary.images) == (3, 3, 13)
    assert summary.fetched == 13
    assert pixels(folder) == sent(images.mixed + images.plain)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.dcm")} == {0o600}
    again = Pull(archive, query(), folder).run()
    assert (again.images, again.fetched) == (13, 0)


@pytest.mark.parametrize("more", [pytest.param({}, marks=pytest.mark.slow), MOVE], ids=["get", "move"])
def test_all_that_is_meant_comes_from_dcmqrscp(more, dcmqr, images, folder):
    archive = dimse(dcmqr, **more)
    archive.echo()
    summary = Pull(archive, query(), folder).run()
    assert (summary.studies, summary.series, summary.images) == (2, 2, 5)
    assert pixels(folder) == sent(images.plain)
    ct = Query(format="collegium-query/1", modalities=("CT",), sop_classes=("CTImageStorage",))
    (folder.parent / "ct").mkdir()
    assert Pull(archive, ct, folder.parent / "ct").run().images == 1


@pytest.mark.parametrize("page", [1, 2])
def test_searches_are_read_page_by_page(orthanc, monkeypatch, page):
    monkeypatch.setattr(dicomweb, "PAGE", page)
    archive = web(orthanc)
    found = list(archive.find(query()))
    assert len(found) == len({series.series for series in found}) == 3
    assert sorted(len(archive.instances(series)) for series in found) == [2, 3, 8]


def test_a_query_narrows_what_is_found(orthanc):
    for archive in (web(orthanc), dimse(orthanc)):
        assert len(list(archive.find(query(patients=("PLAIN",))))) == 2
        assert list(archive.find(query(patients=("NOBODY",)))) == []
        assert list(archive.find(query(series_description="*no such*"))) == []
        assert len(list(archive.find(query(series_description="AXIAL*")))) == 3
        study = next(archive.find(query(patients=("MIXED",)))).study
        assert [series.study for series in archive.find(query(studies=(study,)))] == [study]
        assert list(archive.find(query(study_dates={"first": "1900-01-01", "last": "1900-01-02"}))) == []


def test_limits_and_empty_answers_end_before_anything_is_fetched(orthanc, folder):
    for more, code in (
        ({"limits": {"studies": 2}}, "query.too_many_studies"),
        ({"limits": {"instances": 12}}, "query.too_many_instances"),
        ({"patients": ("NOBODY",)}, "pull.empty"),
    ):
        place = folder / code
        place.mkdir()
        with pytest.raises(ImagingError) as caught:
            Pull(web(orthanc), query(**more), place).run()
        assert caught.value.code == code
        assert not list(place.rglob("*.dcm"))


def test_a_folder_belongs_to_one_query(orthanc, folder):
    Pull(web(orthanc), query(patients=("PLAIN",)), folder).run()
    with pytest.raises(ImagingError) as caught:
        Pull(web(orthanc), query(), folder).run()
    assert caught.value.code == "pull.other_query"


def test_the_commands(orthanc, images, tmp_path):
    pacs, wanted, folder = tmp_path / "pacs.yaml", tmp_path / "query.yaml", tmp_path / "incoming"
    web_too = {"dicomweb": {"url": f"{orthanc.url}/dicom-web", "unencrypted": True}}
    named = {"host": "127.0.0.1", "port": 14242, "called_ae": "ORTHANC", "calling_ae": "SILO", "unencrypted": True}
    pacs.write_text(json.dumps({"format": "collegium-archive/1", "dimse": named}))
    assert commands.run("silo", "pacs", "echo", "--pacs", pacs, "--json").well().data()["archive"] == "answers"
    pacs.write_text(json.dumps({"format": "collegium-archive/1", **web_too}))
    wanted.write_text(json.dumps({**PLAIN, "patients": ["PLAIN"]}))
    pull = ("silo", "pull", "--pacs", pacs, "--query", wanted, "-o", folder, "--json")
    assert commands.run(*pull).well().data()["images"] == len(images.plain)
    assert (folder.stat().st_mode & 0o777) == 0o700
    pacs.write_text(pacs.read_text().replace("18042", "14999"))
    ended = commands.run("silo", "pacs", "echo", "--pacs", pacs)
    ended.refused(Unreachable, "archive.unreachable", "check host")
