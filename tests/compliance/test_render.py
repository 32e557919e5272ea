import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from compliance import plot, render
from compliance.evidence import gather
from compliance.report import Report, build
from compliance.signing import Signature
from compliance.studies import Accountants
from compliance.summary import SiloView
from privacy.ledger.store import Ledger
from tests.compliance.evidence import Consortium

AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
VOID = {"meta", "br", "rect", "path", "use", "line", "circle", "ellipse", "polygon"}


class Page(HTMLParser):
    """Checks nesting and collects tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def report(trained: Consortium, accountants: Accountants) -> Report:
    return build(gather(trained.root), accountants, AT)


def page_of(report: Report, *signatures: Signature) -> str:
    return render.html(report.to_json(), signatures)


def test_it_is_one_file_without_script_or_outside_request(report: Report) -> None:
    html = page_of(report)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)
    # Only names of XML namespaces look like addresses; nothing is fetched from them.
    assert set(re.findall(r"https?://[^\"\s<>]+", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_it_says_what_it_must(report: Report) -> None:
    text = " ".join(Page(page_of(report)).text.split())
    for needed in (
        *report.statement,
        "patient; neighbours differ by adding or removing one patient with all images",
        "standard deviation 1.45 times the clip",
        "Poisson: each patient takes part in a step with probability 0.118",
        "1 of 3 hospitals may work together with the aggregator",
        "256 bits against classical attack",
        "dicom.truncated 3",
        "Round 2 ended without a sum",
        "Released without noise: global metrics (test)",
        "not shown (Opacus is not installed where this report was made)",
        "Dr. Gamma",
        report.ledgers[0].root or "",
    ):
        assert needed in text


def test_sections_tables_and_picture_are_accessible(report: Report) -> None:
    page = Page(page_of(report))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "href"):
            if name in attributes:
                assert (attributes[name] or "").lstrip("#") in ids
    assert ("html", {"lang": "en"}) in page.tags
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert all(picture.get("role") == "img" or picture.get("aria-hidden") == "true" for picture in pictures)


def test_it_is_the_same_page_each_time(report: Report) -> None:
    assert page_of(report) == page_of(report)


def test_the_digest_on_the_page_is_that_of_the_record(report: Report) -> None:
    import hashlib

    assert page_of(report).count(hashlib.sha256(report.canonical()).hexdigest()) == 2


def test_what_comes_from_evidence_is_text(trained: Consortium, accountants: Accountants) -> None:
    attack = "<script>alert(1)</script>$\\frac{$"
    trained.write("alpha", "incident", code="x", detail=attack)
    folder = trained.root / "mallory" / "ledger"
    with Ledger.create(folder, f"spiffe://demo/silo/{attack.replace('/', '')}", trained.keys["alpha"]) as ledger:
        for entry in trained.ledger("beta").entries[1:]:
            ledger.append(entry.kind, entry.body)
    html = page_of(build(gather(trained.root), accountants, AT))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    Page(html)


def test_empty_failed_and_unprotected_evidence_can_be_shown(consortium: Consortium, accountants: Accountants) -> None:
    consortium.protected = False
    consortium.write("adder", "incident", code="x", detail="y")
    assert "No verified ledger of a hospital" in page_of(build(gather(consortium.root), accountants, AT))
    consortium.approve("alpha")
    consortium.train("alpha", 1)
    html = page_of(build(gather(consortium.root), accountants, AT))
    assert "<strong>unlimited</strong>" in html
    assert "<figure>" not in html
    (consortium.root / "alpha" / "ledger" / "head.json").write_text("{}")
    assert "not verified" in page_of(build(gather(consortium.root), accountants, AT))


def test_a_plot_of_many_hospitals_has_no_names(trained: Consortium, report: Report) -> None:
    def curves(silos: tuple[SiloView, ...]) -> str:
        return plot.curves(replace(report, silos=silos).to_json()["silos"])

    svg = curves(report.silos)
    assert ">alpha, beta, gamma<" in svg
    assert ">cap 8<" in svg
    (cohort,) = report.silos[0].cohorts
    many = tuple(replace(report.silos[0], name=f"s{i}", cohorts=(replace(cohort, cap=9.0 + i),)) for i in range(12))
    assert ">s3<" not in curves(many)
    assert curves(()) == ""


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (render.loss(1.001), "1.01"),
        (render.loss(2.0), "2.00"),
        (render.loss("unlimited"), "unlimited"),
        (render.loss(None), "not shown"),
        (render.room(1.009), "1.00"),
        (render.room(None), "not shown"),
        (render.in_hundred(0.671), "68"),
        (render.in_hundred(None), "not shown"),
        (render.plain(1e-5), "1e-5"),
        (render.plain(None), "not shown"),
        (render.instant("2026-03-01T12:34:56.000000Z"), "2026-03-01 12:34 UTC"),
        (render.instant(None), "not shown"),
        (render.share(4.0, 8.0), 50.0),
        (render.share("unlimited", 8.0), 100.0),
        (render.over("unlimited", 8.0), True),
        (render.over(8.0, 8.0), False),
        (render.over(None, 8.0), False),
        (render.share(None, 8.0), 0.0),
        (render.shown(""), "not shown"),
        (render.shown(0), 0),
    ],
)
def test_nothing_is_understated(shown: object, expected: object) -> None:
    assert shown == expected


def test_parties_that_run_the_same_are_one_row() -> None:
    north = {"party": "north", "time": "1", "version": "0.1", "code": "ab", "libraries": {"numpy": "2"}}
    other = {**north, "party": "hill", "libraries": {"numpy": "3"}}
    rows = render.alike([north, other, {**north, "party": "harbour", "time": "2"}])
    assert [(parties, row["libraries"]) for parties, row in rows] == [
        (["north", "harbour"], {"numpy": "2"}),
        (["hill"], {"numpy": "3"}),
    ]
