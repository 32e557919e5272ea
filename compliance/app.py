"""`collegium-compliance`: reads evidence and writes the privacy-budget report, a folder that can be checked by itself.

The composition root: the accountants and the clock are chosen here. It opens ledgers, signed studies and the key
that it is told to sign with, and writes only into the folder that it is asked for.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compliance.signing import Meaning, Signer
from privacy import console
from privacy.errors import ConfigError, CorruptState

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Reports for compliance officers, from copies of ledgers and signed studies alone.\n\n"
    "In this order: report, sign, verify, export.",
)

Key = Annotated[Path | None, typer.Option("--sign", help="Your Ed25519 key (PEM) to sign the report with.")]
Name = Annotated[str | None, typer.Option(help="Your name, as it is printed under the report.")]
As = Annotated[Meaning | None, typer.Option(help="What your signature means.")]
Passphrase = Annotated[Path | None, typer.Option(help="File with the passphrase of the key.", show_default="none")]


@app.command(epilog="Example: collegium-compliance report /evidence -o report")
def report(
    evidence: Annotated[list[Path], typer.Argument(help="Folders with copies of ledgers and signed studies.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write; must be new.")],
    sign: Key = None,
    name: Name = None,
    meaning: As = None,
    passphrase_file: Passphrase = None,
    pdf: Annotated[bool | None, typer.Option(help="Also write PDF/A-3.", show_default="if WeasyPrint is there")] = None,
    previous: Annotated[Path | None, typer.Option(help="report.json of the last report.", show_default="none")] = None,
    clauses: Annotated[Path | None, typer.Option(help="Your list of clauses.", show_default="ours")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Also print the report as one JSON object.")] = False,
) -> None:
    """Recompute every figure from the ledgers and write the report: a page, a PDF, JSON and the evidence.

    When something fails its verification the report is written all the same and says so; the exit
    code is then 8.
    """
    from compliance import bundle, printing, publication
    from compliance.canonical import canonical
    from compliance.changes import read as read_previous
    from compliance.clauses import read as read_clauses
    from compliance.evidence import gather
    from compliance.report import FORMAT, build
    from compliance.studies import Accountants

    if sign is not None and (not name or meaning is None):
        raise ConfigError("a signature needs --name and --meaning besides --sign")
    signer = Signer.load(sign, passphrase_file, name, meaning) if sign and name and meaning else None
    if pdf:
        printing.require()
    served = read_clauses(clauses) if clauses else None
    before = read_previous(previous, FORMAT) if previous else None
    with bundle.new(output) as folder:
        bundle.collect(evidence, folder / bundle.EVIDENCE)
        if before:
            (folder / bundle.PREVIOUS).write_bytes(canonical(before))
        made = build(
            gather(folder / bundle.EVIDENCE),
            Accountants.installed(),
            datetime.now(UTC),
            clauses=served,
            previous=before,
        )
        record = made.canonical()
        (folder / bundle.RECORD).write_bytes(record)
        if signer:
            bundle.add_signature(folder, signer.sign(record, datetime.now(UTC)))
        publication.publish(folder, pdf=printing.installed() if pdf is None else pdf)
    if as_json:
        typer.echo(json.dumps(made.to_json(), sort_keys=True))
    else:
        console.emit(
            {
                "report": str(output),
                "ledgers_verified": f"{made.summary.verified} of {made.summary.ledgers}",
                "signed_by": signer.name if signer else "nobody yet",
                "statement": " ".join(made.statement),
            },
            as_json=False,
        )
    if not made.sound:
        raise CorruptState(
            "the report was written, but some of the evidence failed its verification; read section 14 of it first",
            code="evidence.unsound",
        )


@app.command(epilog='Example: collegium-compliance sign report --key me.pem --name "Dr. Ada Roe" --meaning approved')
def sign(
    directory: Annotated[Path, typer.Argument(help="The folder of a report.")],
    key: Annotated[Path, typer.Option(help="Your Ed25519 key (PEM).")],
    name: Annotated[str, typer.Option(help="Your name, as it is printed under the report.")],
    meaning: Annotated[Meaning, typer.Option(help="What your signature means.")],
    passphrase_file: Passphrase = None,
) -> None:
    """Add a person's signature to a report, and print it on its pages. The record does not change."""
    from compliance import bundle, publication

    signer = Signer.load(key, passphrase_file, name, meaning)
    record, _ = publication.read(directory)
    bundle.add_signature(directory, signer.sign(record, datetime.now(UTC)))
    publication.publish(directory, pdf=(directory / bundle.PRINT).exists())
    typer.echo(f"signed by {name} ({meaning.value}); fingerprint of the key: {signer.fingerprint}")


@app.command(epilog='Example: collegium-compliance verify report --consortium-key "1a2b 3c4d ..."')
def verify(
    directory: Annotated[Path, typer.Argument(help="The folder of a report.")],
    consortium_key: Annotated[
        str | None, typer.Option(help="Fingerprint of the consortium's study key, as you know it from elsewhere.")
    ] = None,
    signer: Annotated[
        list[str] | None, typer.Option(help="Fingerprint of the key of a person who must have signed; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as one JSON object.")] = False,
) -> None:
    """Check a report from its files alone, offline: every signature, every entry, every figure.

    A line a check. The exit code is 0 only when no check failed; what cannot be shown is said and fails nothing.
    """
    from compliance.studies import Accountants
    from compliance.verify import Anchors, Outcome
    from compliance.verify import verify as checks_of

    if not directory.is_dir():
        raise ConfigError(f"there is no folder '{directory.name}'; name the folder of a report")
    checks = checks_of(directory, Anchors(consortium_key, tuple(signer or ())), Accountants.installed())
    failed = [check for check in checks if check.outcome is Outcome.FAILED]
    if as_json:
        plain = [{"name": c.name, "outcome": c.outcome.value, "findings": list(c.findings)} for c in checks]
        typer.echo(json.dumps({"verified": not failed, "checks": plain}, sort_keys=True))
    else:
        for check in checks:
            typer.echo(check.line)
    if failed:
        raise CorruptState(
            f"{len(failed)} of {len(checks)} checks failed: do not rely on this report, and ask who made it",
            code="report.not_verified",
        )


class Form(StrEnum):
    """What a report can be exported as."""

    OPENDP = "opendp"
    DPIA = "dpia"
    PROCESSING = "processing"
    DICOM_AUDIT = "dicom-audit"


@app.command(epilog="Example: collegium-compliance export dpia report -o annex.md")
def export(
    form: Annotated[Form, typer.Argument(help="What to write.")],
    directory: Annotated[Path, typer.Argument(help="The folder of a report.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; must be new.")],
    to_syslog: Annotated[
        str | None, typer.Option("--syslog", help="HOST:PORT that audit messages are also sent to, over TLS.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="CA of that host (PEM).", show_default="none")] = None,
    cert: Annotated[Path | None, typer.Option(help="Your certificate for it (PEM).", show_default="none")] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).", show_default="in --cert")] = None,
) -> None:
    """Write a report in a form that others ask for; verify it first.

    A draft for OpenDP's registry of deployments (JSON), an annex for an impact assessment (Markdown), records of
    processing (CSV), or DICOM audit messages (XML, a message a line). What no evidence shows is left "not shown".
    """
    from compliance import bundle, publication
    from compliance.exports import dicom_audit, dpia, opendp, processing, syslog
    from privacy import durable

    if (to_syslog or ca or cert or key) and (form is not Form.DICOM_AUDIT or not to_syslog):
        raise ConfigError("--syslog, with --ca, --cert and --key, is for dicom-audit")
    repository = syslog.Repository.at(to_syslog, ca, cert, key) if to_syslog else None
    told: list[dicom_audit.Message] = []
    data, signatures = publication.read(directory)
    record = json.loads(data)
    match form:
        case Form.OPENDP:
            text = opendp.record(record, signatures)
        case Form.DPIA:
            text = dpia.annex(record)
        case Form.PROCESSING:
            text = processing.table(record)
        case Form.DICOM_AUDIT:
            told = list(dicom_audit.messages(directory / bundle.EVIDENCE))
            text = "".join(f"{message.xml}\n" for message in told)
    if output.exists():
        raise ConfigError(f"'{output.name}' is there already; name a new file")
    # First the file: it holds what was to be sent, should the sending fail.
    durable.create(output, text.encode(), mode=0o644)
    if repository:
        typer.echo(f"sent {syslog.send(repository, told)} messages")


def main() -> None:
    """Entry point."""
    console.run(app)


if __name__ == "__main__":
    main()
