"""`collegium-compliance`: reads evidence from a folder and writes the privacy-budget report.

The composition root: the accountants and the clock are chosen here. It opens ledgers and signed
studies only, and writes only the files it is asked for.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from privacy import console
from privacy.errors import CorruptState, StorageError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Reports for compliance officers, from ledgers.")


@app.callback()
def _commands() -> None:
    """Keep `report` a command of its own although it is the only one so far."""


@app.command(epilog="Example: collegium-compliance report /evidence -o report.html")
def report(
    directory: Annotated[Path, typer.Argument(help="Folder with copies of the ledgers and the signed studies.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write; JSON goes beside it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Also print the report as one JSON object.")] = False,
) -> None:
    """Recompute every figure from the ledgers and write one self-contained page and its JSON record.

    When something fails its verification the report is written all the same and says so; the exit
    code is then 8.
    """
    from compliance.evidence import gather
    from compliance.render import html
    from compliance.report import build
    from compliance.studies import Accountants

    made = build(gather(directory), Accountants.installed(), datetime.now(UTC))
    record = output.with_suffix(".json")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        record.write_bytes(made.canonical())
        output.write_text(html(made), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"the report could not be written ({error.strerror}); check the output's folder and free space"
        ) from error
    if as_json:
        typer.echo(json.dumps(made.to_json(), sort_keys=True))
    else:
        console.emit(
            {
                "report": str(output),
                "record": str(record),
                "ledgers_verified": f"{made.summary.verified} of {made.summary.ledgers}",
                "statement": " ".join(made.statement),
            },
            as_json=False,
        )
    if not made.sound:
        raise CorruptState(
            "the report was written, but some of the evidence failed its verification; read section 8 of it first",
            code="evidence.unsound",
        )


def main() -> None:
    """Entry point."""
    console.run(app)


if __name__ == "__main__":
    main()
