from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.sources.multipart import MAX_HEAD_BYTES, MultipartError, PartTooLarge, boundary, parts

MARK = b"mark"
BODY = st.binary(max_size=40) | st.sampled_from([b"\r\n--", b"\r\n--mar", b" --mark", b"\r\n\r\n"])
BODIES = st.lists(BODY.filter(lambda body: b"\r\n--mark" not in b"\r\n" + body), max_size=4)


def message(bodies, preamble=b""):
    return preamble + b"".join(b"--mark\r\nA: b\r\n\r\n" + body + b"\r\n" for body in bodies) + b"--mark--\r\n"


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(BODIES, st.lists(st.integers(0, 10_000), max_size=12), st.sampled_from([b"", b"\r\n", b"said before\r\n"]))
def test_parts_come_out_as_they_went_in_however_the_stream_is_cut(bodies, places, preamble):
    assert list(parts(cut(message(bodies, preamble), places), MARK, 100)) == bodies


@given(BODIES, st.integers(1, 10_000))
def test_an_answer_that_is_cut_is_an_error_and_gives_no_torn_part(bodies, lost):
    whole = message(bodies)[:-2]
    taken = []
    with pytest.raises(MultipartError):
        for part in parts([whole[: max(0, len(whole) - lost)]], MARK, 100):
            taken.append(part)
    assert taken == bodies[: len(taken)]


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES, 3 * MAX_HEAD_BYTES])
def test_a_part_above_the_limit_is_refused_with_bounded_memory(size):
    data = message([bytes(size)])
    assert [len(part) for part in parts([data], MARK, size)] == [size]
    with pytest.raises(PartTooLarge):
        list(parts(cut(data, range(0, len(data), 1000)), MARK, size - 1))


def test_the_boundary_is_read_from_the_content_type():
    assert boundary('multipart/related; type="application/dicom"; boundary="a b"') == b"a b"
    assert boundary("multipart/related;boundary=x") == b"x"
    for wrong in (
        "",
        "application/dicom",
        "multipart/related",
        "multipart/related; boundary=",
        "text/html; boundary=x",
    ):
        with pytest.raises(MultipartError):
            boundary(wrong)
