import re

from imaging.sheets import page
from imaging.sheets.distribution import Bars
from imaging.sheets.page import Share, Tile


def test_text_is_escaped_wherever_it_goes():
    evil = "<script>alert('x')</script>"
    tile = Tile(evil, (evil,), (evil,), b"png", evil)
    bars = Bars(0.0, 1.0, (0.5, 0.5), 0.0, 0.0)
    made = page.page(
        evil,
        evil,
        [
            (evil, page.paragraph(evil) + page.figures({evil: evil}) + page.table((evil, evil), [(evil, evil)])),
            (evil, page.histogram(evil, bars, evil, evil) + page.legend([evil]) + page.sheet([tile], wide=True)),
        ],
    )
    assert "<script" not in made
    assert made.count("&lt;script&gt;") > 12


def test_a_page_needs_nothing_else():
    made = page.page("a", "b", [("c", page.sheet([Tile("1", (), (), b"png", "one")], wide=False))])
    assert "default-src 'none'; img-src data:" in made
    assert not re.search(r"<script|<link|@import|url\(|https?:", made)


def test_an_axis_has_a_few_round_numbers():
    for start, width in ((0.0, 1.0), (-1024.0, 50.0), (1e-6, 1e-8), (-3e9, 1e8)):
        drawn = page.histogram("a", Bars(start, width, (0.25,) * 4, 0.0, 0.0), "")
        assert 2 <= drawn.count("<text") <= 7


def test_shares_of_nothing_are_none():
    assert "width:0.0%" in page.table(("a", "b"), [("x", Share(0, 0))])
