import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imaging.errors import ImagingError
from imaging.labels import contours
from imaging.labels.selection import ClassRule

ORGAN = ClassRule("organ", labels=("Liver",))


def square(low, high, plane=2):
    return [(low, low, plane), (high, low, plane), (high, high, plane), (low, high, plane)]


def ellipse(centre, radii, points=400):
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1)


def centres(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@given(
    centre=st.tuples(st.floats(60, 66), st.floats(60, 66)),
    radii=st.tuples(st.floats(12, 40), st.floats(12, 40)),
)
def test_an_ellipse_has_its_voxels_and_its_area(centre, radii):
    shape = (128, 128)
    drawn = contours.fill([ellipse(centre, radii)], shape)
    inside = (((centres(shape) - centre) / radii) ** 2).sum(axis=-1) <= 1
    assert dice(drawn, inside) >= 0.98
    # Nosarzewska 1948: the points of a lattice in a convex area differ from it by half its outline and one, at most.
    half_outline = np.pi * np.hypot(*radii) / np.sqrt(2)
    assert abs(drawn.sum() - np.pi * radii[0] * radii[1]) <= half_outline + 1


@given(
    polygon=st.lists(st.tuples(st.floats(-3, 20), st.floats(-3, 20)), min_size=3, max_size=8),
)
def test_any_polygon_is_what_a_plain_count_of_crossings_gives(polygon):
    shape = (17, 13)
    points = np.round(np.array(polygon), 2) + 0.0041  # no centre lies on an edge along an axis
    expected = np.zeros(shape, dtype=bool)
    for i in range(shape[0]):
        for j in range(shape[1]):
            for (a, b), (c, d) in zip(points, np.roll(points, -1, axis=0), strict=True):
                if (a > i) != (c > i):
                    crossing = b + (i - a) / (c - a) * (d - b)
                    assume(abs(j - crossing) > 1e-9)  # on a slanting edge rounding decides, and differently in each way
                    expected[i, j] ^= j > crossing
    np.testing.assert_array_equal(contours.fill([points], shape), expected)


def test_a_centre_on_an_edge_belongs_to_the_side_of_greater_index():
    drawn = contours.fill([np.array([(2.0, 3), (5, 3), (5, 7), (2, 7)])], (9, 9))
    expected = np.zeros((9, 9), dtype=bool)
    expected[2:5, 3:7] = True
    np.testing.assert_array_equal(drawn, expected)


@given(st.lists(st.integers(1, 15), min_size=2, max_size=2, unique=True), st.integers(1, 15), st.booleans())
def test_areas_that_share_an_edge_share_no_voxel_and_leave_none_out(ends, height, reverse):
    (a, b), shape = ends, (17, 17)
    left = np.array([(0.0, 0), (16, 0), (b, height), (a, 16), (0, 16)])
    right = np.array([(16.0, 0), (16, 16), (a, 16), (b, height)])
    pieces = [contours.fill([piece[::-1] if reverse else piece], shape) for piece in (left, right)]
    assert not (pieces[0] & pieces[1]).any()
    whole = contours.fill([np.array([(0.0, 0), (16, 0), (16, 16), (0, 16)])], shape)
    np.testing.assert_array_equal(pieces[0] | pieces[1], whole)


def test_a_contour_within_a_contour_is_a_hole_and_one_within_that_is_none():
    outer, hole, island = (np.array(square(low, high))[:, :2] for low, high in [(1, 15), (3, 12), (5, 8)])
    expected = np.zeros((20, 20), dtype=bool)
    for low, high in [(1, 15), (3, 12), (5, 8)]:
        expected[low:high, low:high] ^= True
    np.testing.assert_array_equal(contours.fill([outer, hole, island], (20, 20)), expected)


def test_a_keyhole_is_the_ring_that_two_contours_are():
    outer, inner = np.array([(1.3, 1.2), (15.1, 1.4), (15.6, 14.9), (1.1, 15.2)]), ellipse((8.2, 7.7), (3.3, 4.1), 60)
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    np.testing.assert_array_equal(contours.fill([keyhole], (20, 20)), contours.fill([outer, inner], (20, 20)))


@pytest.mark.parametrize("oblique", [False, True])
def test_a_structure_set_is_drawn_on_the_planes_that_it_lies_in(scan, oblique):
    made = scan(oblique=oblique)
    drawn = [square(2, 8, 1), square(4, 6, 1), square(1, 3, 2), square(5, 9, 2), square(2, 4, 3)]
    mask = contours.read(made.outline([("liver ", drawn), ("Doe^Jane", [square(0, 9, 5)])]), [ORGAN], made.grid)
    expected = np.zeros(made.shape, dtype=np.uint8)
    expected[2:8, 2:8, 1] = 1
    expected[4:6, 4:6, 1] = 0
    expected[1:3, 1:3, 2] = expected[5:9, 5:9, 2] = expected[2:4, 2:4, 3] = 1
    np.testing.assert_array_equal(mask.array, expected)
    assert mask.warnings == ()
    assert mask.counts() == {"organ": int(expected.sum())}


def test_planes_left_out_are_a_warning(scan):
    made = scan()
    mask = contours.read(made.outline([("Liver", [square(2, 8, 1), square(2, 8, 3)])]), [ORGAN], made.grid)
    assert mask.warnings == ("mask.gap",)
    assert not mask.array[:, :, 2].any()


@pytest.mark.parametrize(
    ("drawn", "code"),
    [
        ([(2, 2, 1), (8, 2, 1), (8, 8, 1.5)], "contour.plane"),
        ([(2, 2, 1.4), (8, 2, 1.4), (8, 8, 1.4)], "contour.plane"),
        ([(2, 2, 1), (2, 8, 4), (2, 8, 1)], "contour.plane"),
        (square(2, 8, 6), "contour.outside"),
        (square(2, 8, -1), "contour.outside"),
        (square(-2, 8, 1), "contour.outside"),
        ([(2, 2, 1), (12, 2, 1), (8, 8, 1)], "contour.outside"),
        ([(2, 2, 1), (8, 2, 1)], "contour.points"),
    ],
)
def test_contours_that_are_not_the_images_are_refused(scan, drawn, code):
    made = scan(oblique=True)
    with pytest.raises(ImagingError) as caught:
        contours.read(made.outline([("Liver", [square(2, 8, 1), drawn])]), [ORGAN], made.grid)
    assert caught.value.code == code


def test_other_structure_sets_are_refused(scan, monkeypatch):
    made = scan()
    drawn = [("Liver", [square(2, 8)])]
    for write, rules, code in [
        (lambda: made.outline(drawn, frame="1.2.3"), [ORGAN], "mask.frame_of_reference"),
        (lambda: made.outline(drawn, kind="POINT"), [ORGAN], "contour.type"),
        (lambda: made.outline([("Doe", [square(2, 8)])]), [ORGAN], "mask.no_class"),
        (lambda: made.outline(drawn), [ORGAN, ClassRule("other", ("LIVER",))], "mask.ambiguous"),
        (lambda: made.save(made.slices[0], "image.dcm"), [ORGAN], "label_file.kind"),
        (lambda: made.folder / "absent", [ORGAN], "label_file.unreadable"),
    ]:
        with pytest.raises(ImagingError) as caught:
            contours.read(write(), rules, made.grid)
        assert caught.value.code == code
        assert "Doe" not in str(caught.value)
    monkeypatch.setattr(contours, "MAX_POINTS", 7)
    with pytest.raises(ImagingError) as caught:
        contours.read(made.outline([("Liver", [square(2, 8), square(3, 4)])]), [ORGAN], made.grid)
    assert caught.value.code == "contour.too_many"


def test_two_regions_of_one_class_are_one_and_of_two_classes_overlap(scan):
    made = scan()
    path = made.outline([("Liver", [square(2, 6)]), ("Tumour", [square(4, 8)])])
    one = contours.read(path, [ClassRule("both", ("liver", "tumour"))], made.grid)
    assert one.counts() == {"both": 16 + 16 - 4}
    two = contours.read(path, [ORGAN, ClassRule("tumour", ("tumour",))], made.grid)
    assert two.overlapping
    assert two.counts() == {"organ": 16, "tumour": 16}


def test_damaged_files_are_refused_without_quoting_them(scan, refusal):
    made = scan()
    data = made.outline([("Liver", [square(2, 8)])]).read_bytes()
    random = np.random.default_rng(3)
    path = made.folder / "damaged.dcm"
    for _ in range(150):
        copy = bytearray(data)
        for position in random.integers(0, len(copy), 4):
            copy[position] = random.integers(256)
        path.write_bytes(copy[: random.integers(1, len(copy))] if random.random() < 0.3 else copy)
        message = refusal(lambda: contours.read(path, [ORGAN], made.grid))
        assert "Liver" not in message
        assert "1.2.826" not in message
