from pathlib import Path

import pytest

from imaging.deidentification import Option, profile
from imaging.deidentification.table import Action, rules
from imaging.errors import ImagingError

SAMPLE = Path(__file__).parents[3] / "deploy/samples/deidentify.yaml"


def test_the_sample_is_a_profile():
    sample = profile.read(SAMPLE)
    assert sample.has(Option.MODIFIED_DATES)
    assert sample.private[0].creator == "SIEMENS MR HEADER"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "options: [clean_everything]",
        "option: []",
        "keep: [PatientName]",
        "keep: [PatientID]",
        "keep: [NoSuchKeyword]",
        "keep: [OverlayData]",
        "keep: [PixelData]",
        "options: [retain_safe_private]",
        'private: [{group: "0x0019", creator: A, elements: ["0x0c"]}]',
        'options: [retain_safe_private]\nprivate: [{group: "0x0018", creator: A, elements: ["0x0c"]}]',
        "pixels: {text_search: blank}",
        "options: [clean_pixels]\npixels: {burned_in: blank}",
        "shift_days: 0",
        "version: 2",
        "version: 1\nversion: 1",
        "a: &x [1]\nb: *x",
        "!!python/object:os.system {}",
        "project: ../x",
        "\x00",
    ],
)
def test_what_is_no_profile_is_refused(text, tmp_path):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ImagingError) as caught:
        profile.read(tmp_path / "p.yaml")
    assert caught.value.code == "profile.invalid"
    assert str(tmp_path) not in str(caught.value)


def test_an_absent_profile_is_named_as_unreadable(tmp_path):
    with pytest.raises(ImagingError) as caught:
        profile.read(tmp_path / "absent.yaml")
    assert caught.value.code == "profile.unreadable"


def test_options_change_only_rows_of_their_column(profile_with):
    basic = rules(profile_with())
    assert basic.actions == basic.basic
    expected = {
        "clean_descriptors": {Action.CLEAN},
        "modified_dates": {Action.SHIFT},
        "retain_patient_characteristics": {Action.KEEP, Action.CLEAN},
        "retain_device": {Action.KEEP, Action.CLEAN},
        "retain_institution": {Action.KEEP},
        "retain_uids": {Action.KEEP},
        "clean_graphics": {Action.CLEAN},
        "clean_structured_content": {Action.CLEAN},
    }
    for option, actions in expected.items():
        changed = rules(profile_with(option))
        differing = {tag for tag in basic.actions if changed.actions[tag] != basic.actions[tag]}
        assert differing, option
        assert {changed.actions[tag] for tag in differing} <= actions
    assert rules(profile_with("retain_device")).actions[0x00181200] == Action.REMOVE, "dates go by the dates' option"
    assert rules(profile_with("retain_device", "modified_dates")).actions[0x00181200] == Action.SHIFT
    assert rules(profile_with(keep={"InstitutionName"})).actions[0x00080080] == Action.KEEP
