from pathlib import Path

from imaging.volumes.rejection import SENTENCES, ImageRejected, Rejection

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rejections.md"


def table():
    return "".join(f"| `{one.value}` | {SENTENCES[one]} |\n" for one in Rejection)


def test_every_code_has_a_sentence_and_its_error_says_it():
    assert set(SENTENCES) == set(Rejection)
    for one in Rejection:
        error = ImageRejected(one)
        assert (error.code, str(error)) == (one.value, SENTENCES[one])


def test_the_page_lists_every_code():
    assert PAGE.read_text("utf-8").split("|---|---|\n")[1].split("\n\n")[0] + "\n" == table()
