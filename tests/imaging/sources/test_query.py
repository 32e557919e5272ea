import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydicom.uid import CTImageStorage, MRImageStorage

from imaging.sources.query import Dates, Query, SeriesFacts

PLAIN = {"format": "collegium-query/1", "modalities": ("CT",), "sop_classes": ("CTImageStorage",)}


def facts(**known):
    return SeriesFacts(
        **{
            "modality": "CT",
            "body_part": "CHEST",
            "study_date": "20240506",
            "description": "Thorax 1.0 B70f",
            "patient": "P-1",
            "study": "1.2.3",
            **known,
        }
    )


def test_a_query_allows_the_named_classes_and_no_others():
    query = Query(**PLAIN)
    assert query.class_uids == {CTImageStorage}
    assert MRImageStorage not in query.class_uids
    assert query.means(facts())
    assert not query.means(facts(modality="MR"))


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [
        ("body_parts", ("CHEST",), {"body_part": "HEAD"}),
        ("study_dates", Dates(first="2024-01-01", last="2024-12-31"), {"study_date": "20250101"}),
        ("study_dates", Dates(first="2024-05-07"), {}),
        ("study_dates", Dates(last="2024-05-05"), {}),
        ("series_description", "*b70*", {"description": "Thorax 1.0 B30f"}),
        ("patients", ("P-1",), {"patient": "P-2"}),
        ("studies", ("1.2.3",), {"study": "1.2.4"}),
    ],
)
def test_each_key_leaves_out_what_it_does_not_name(key, value, other):
    query = Query(**PLAIN, **{key: value})
    if other:
        assert query.means(facts())
        assert query.may_mean(facts())
    assert not query.means(facts(**other))
    assert not query.may_mean(facts(**other))


@pytest.mark.parametrize("unsaid", [None, ""])
@pytest.mark.parametrize(
    ("key", "value", "fact"),
    [
        ("body_parts", ("CHEST",), "body_part"),
        ("study_dates", Dates(first="2024-01-01"), "study_date"),
        ("series_description", "*B70*", "description"),
    ],
)
def test_what_is_not_said_passes_in_an_answer_and_not_in_a_header(key, value, fact, unsaid):
    query = Query(**PLAIN, **{key: value})
    assert query.may_mean(facts(**{fact: unsaid}))
    assert not query.means(facts(**{fact: unsaid}))


@given(st.text(alphabet="ab.[]+*?", max_size=8), st.text(alphabet="ab.[]+", max_size=8))
def test_a_pattern_is_literal_but_for_star_and_question_mark(pattern, text):
    def matches(pattern, text):
        if not pattern:
            return not text
        if pattern[0] == "*":
            return matches(pattern[1:], text) or (bool(text) and matches(pattern, text[1:]))
        return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])

    if pattern and text:
        found = Query(**PLAIN, series_description=pattern).means(facts(description=text))
        assert found == matches(pattern, text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"modalities": ()},
        {"sop_classes": ()},
        {"sop_classes": ("1.2.840.10008.5.1.4.1.1.2",)},
        {"sop_classes": ("PatientRootQueryRetrieveInformationModelFind",)},
        {"modalities": ("ct",)},
        {"modalities": ("*",)},
        {"patients": ("*",)},
        {"patients": ("P-?",)},
        {"patients": ("A\\B",)},
        {"studies": ("1.2.*",)},
        {"study_dates": Dates.model_construct(first="2024-13-01")},
        {"body_part": ("CHEST",)},
        {"limits": {"studies": 0}},
        {"format": "collegium-query/2"},
    ],
)
def test_what_is_no_query_is_refused(wrong):
    with pytest.raises(ValidationError):
        Query.model_validate({**PLAIN, **{k: v.model_dump() if isinstance(v, Dates) else v for k, v in wrong.items()}})


def test_dates_are_in_order_and_real():
    with pytest.raises(ValidationError):
        Dates(first="2024-02-02", last="2024-02-01")
    with pytest.raises(ValidationError):
        Dates(first="2024-02-30")
    assert Dates(first="2024-02-01").as_range == "20240201-"
    assert Dates().as_range is None
    assert not Dates(first="2024-02-01").have("2024")
