"""A command says one sentence and exits with its documented code; a defect keeps its traceback."""

import inspect
import json
import sys
import warnings

import pytest
import typer

from privacy import console, errors
from privacy.errors import CollegiumError

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CollegiumError)]


def exit_of(action: BaseException | None, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        if action is not None:
            raise action

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr("sys.argv", ["command"])
        console.run(app)
    return int(caught.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_one_sentence_and_its_exit_code(
    kind: type[CollegiumError], capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = exit_of(kind("it is so; do this", code="area.what"), capsys)
    assert code == kind.exit_code
    assert shown == "error: it is so; do this [area.what]\n"


@pytest.mark.parametrize("options", [[], ["default"]])
def test_what_libraries_warn_of_is_shown_to_who_asks(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        warnings.warn("Invalid value for VR PN: 'Roe^Ada'", stacklevel=1)

    monkeypatch.setattr("sys.argv", ["command"])
    monkeypatch.setattr("sys.warnoptions", options)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print(message, file=sys.stderr)
        with pytest.raises(SystemExit):
            console.run(app)
    assert ("Roe" in capsys.readouterr().err) == bool(options)


def test_exit_codes_are_distinct_and_fit_a_shell() -> None:
    codes = [kind.exit_code for kind in ERRORS]
    assert len(set(codes)) == len(codes)
    assert all(1 <= code <= 125 for code in codes)
    assert console.EX_SOFTWARE not in codes


def test_every_error_has_its_own_stable_code() -> None:
    codes = [kind.default_code for kind in ERRORS]
    assert len(set(codes)) == len(codes)
    assert CollegiumError("x").code == "error"


def test_success_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(None, capsys) == (0, "")


def test_an_interruption_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = exit_of(KeyboardInterrupt(), capsys)
    assert code == 130


def test_a_defect_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = exit_of(ZeroDivisionError("oops"), capsys)
    assert code == 70
    assert "ZeroDivisionError: oops" in shown
    assert "please report" in shown


def test_data_is_printed_for_a_program_or_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit({"b_c": ["x", 1], "a": None}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"a": None, "b_c": ["x", 1]}
    console.emit({"b_c": ["x", 1], "a": None}, as_json=False)
    assert capsys.readouterr().out == "b c  x, 1\na    None\n"
    console.emit({}, as_json=False)
    assert capsys.readouterr().out == ""
