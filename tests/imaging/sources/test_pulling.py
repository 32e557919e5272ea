"""What a pull makes of archives that say little, or say wrong. Real archives are in `real_archives`."""

import csv

import pytest

from imaging.errors import ImagingError
from imaging.sources.archive import FetchFailed, Received, RemoteSeries
from imaging.sources.pulling import Pull
from imaging.sources.query import Query, SeriesFacts

CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11"
QUERY = Query(format="collegium-query/1", modalities=("CT",), sop_classes=("CTImageStorage",))
FACTS = SeriesFacts("CT", None, None, None, None, None)


class Scripted:
    """An archive of one series: what it has, what it says that it has, and what it sends."""

    def __init__(self, has, lists=True, told=None, tried=None, series_fails=False, single_fails=()):
        self.has, self.lists, self.told, self.tried = dict(has), lists, told, tried
        self.series_fails, self.single_fails = series_fails, set(single_fails)
        self.asked = []

    def echo(self):
        pass

    def find(self, query):
        yield RemoteSeries("1.1", "1.2", FACTS, self.told)

    def instances(self, series):
        return dict(self.has) if self.lists else None

    def fetch(self, series, instance, classes, take):
        self.asked.append(instance)
        if (instance is None and self.series_fails) or instance in self.single_fails:
            raise FetchFailed("no", "archive.refused")
        for uid in self.has if instance is None else [instance]:
            take(Received(self.has.get(uid) or CT, uid, b"data of " + uid.encode()))
        return self.tried


def pull(archive, folder):
    return Pull(archive, QUERY, folder).run()


def refusal(archive, folder):
    with pytest.raises(ImagingError) as caught:
        pull(archive, folder)
    return caught.value.code


FOUR = {f"1.3.{number}": CT for number in range(4)}


def test_a_series_is_asked_for_whole_and_only_once(tmp_path):
    archive = Scripted(FOUR, told=4)
    assert pull(archive, tmp_path).fetched == 4
    assert pull(archive, tmp_path).fetched == 0
    assert archive.asked == [None]


def test_where_the_whole_fails_every_image_is_asked_for_alone(tmp_path):
    archive = Scripted(FOUR, series_fails=True)
    assert pull(archive, tmp_path).images == 4
    assert archive.asked == [None, *FOUR]
    again = Scripted(FOUR, series_fails=True, single_fails={"1.3.2"})
    (tmp_path / "other").mkdir()
    assert refusal(again, tmp_path / "other") == "pull.incomplete"
    again.single_fails.clear()
    again.asked.clear()
    assert pull(again, tmp_path / "other").fetched == 1
    assert again.asked == ["1.3.2"]


def test_other_classes_are_left_out_and_not_missing(tmp_path):
    summary = pull(Scripted(FOUR | {"1.4.1": SR}, told=5), tmp_path)
    assert (summary.images, summary.left_out) == (4, 1)
    (tmp_path / "b").mkdir()
    summary = pull(Scripted(FOUR | {"1.4.1": SR}, told=5, lists=False), tmp_path / "b")
    assert (summary.images, summary.left_out) == (4, 1)


def test_a_series_that_grew_is_wanted_again(tmp_path):
    archive = Scripted(FOUR, told=4)
    pull(archive, tmp_path)
    archive.has["1.3.9"], archive.told = CT, 5
    assert pull(archive, tmp_path).fetched == 1
    assert archive.asked == [None, "1.3.9"]


@pytest.mark.parametrize(("told", "tried"), [(5, None), (None, 5), (5, 4), (4, 5)])
def test_an_archive_that_lists_nothing_is_held_to_its_counts(tmp_path, told, tried):
    archive = Scripted(FOUR, lists=False, told=told, tried=tried)
    assert refusal(archive, tmp_path) == "pull.incomplete"
    with (tmp_path / "missing.csv").open() as file:
        assert [row["instance"] for row in csv.DictReader(file)] == [""]
    (tmp_path / "b").mkdir()
    assert pull(Scripted(FOUR, lists=False, told=4, tried=4), tmp_path / "b").images == 4


def test_an_archive_that_lists_less_than_it_counted_is_not_believed(tmp_path):
    assert refusal(Scripted(FOUR, told=6), tmp_path) == "pull.incomplete"


def test_an_archive_that_says_and_sends_nothing_is_not_believed(tmp_path):
    assert refusal(Scripted({}, lists=False), tmp_path) == "pull.incomplete"
    (tmp_path / "b").mkdir()
    assert refusal(Scripted({}, lists=True), tmp_path / "b") == "pull.incomplete"


def test_what_was_not_asked_for_is_not_kept(tmp_path):
    archive = Scripted(FOUR)
    archive.instances = lambda series: {"1.3.0": CT}
    assert pull(archive, tmp_path).images == 1


def test_a_state_that_is_damaged_is_said_so(tmp_path):
    (tmp_path / "pull.sqlite").write_bytes(b"no database" * 100)
    assert refusal(Scripted(FOUR), tmp_path) == "pull.storage"
