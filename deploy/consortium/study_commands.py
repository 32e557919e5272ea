"""`collegium-consortium study`: sign studies, and say what one means."""

import json
from pathlib import Path
from typing import Annotated

import typer

from deploy.consortium.options import Directory, Output, PassphraseFile, opened
from deploy.consortium.signing import sign_draft
from privacy import console
from privacy.channel.files import publish
from privacy.console import AsJson
from privacy.digest import Json
from privacy.study import dump

app = typer.Typer(no_args_is_help=True, help="Explain and sign studies.")


@app.command("sign")
def study_sign(
    draft: Annotated[Path, typer.Argument(help="The study; silos and aggregator may be given by name.")],
    directory: Directory,
    output: Output,
    weights: Annotated[
        Path | None, typer.Option(help="The safetensors file that the study starts from, if it names one.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Complete a draft (identity keys, threshold, noise, length of an upload) and sign it.

    \b
    Example:
    collegium-consortium study sign draft.yaml --dir consortium -o study.yaml
    """
    completed = sign_draft(opened(directory, passphrase_file), draft, weights)
    study = completed.signed.study
    publish(output, dump(completed.signed).encode())
    fingerprints: dict[str, Json] = {party.name: party.fingerprint for party in study.roster.silos}
    shown: dict[str, Json] = {
        "study": study.name,
        "digest": study.digest().hex(),
        "roster_code": study.roster.code,
        "threshold": study.roster.threshold,
        "values": study.upload_length,
        "epsilon": completed.epsilon,
        "delta": study.privacy.delta,
        "noise_multiplier": study.privacy.noise_multiplier,
        "aggregator": {study.roster.aggregator.name: study.roster.aggregator.fingerprint},
        "silos": fingerprints,
    }
    if as_json:
        console.emit(shown, as_json=True)
        return
    protection = (
        "none: this study trains without differential privacy"
        if completed.epsilon is None
        else f"epsilon {completed.epsilon:.3f} at delta {study.privacy.delta} for each patient, after all rounds"
    )
    lines: dict[str, Json] = {key: shown[key] for key in ("study", "digest", "roster_code", "threshold", "values")}
    lines |= {"privacy": protection, "noise_multiplier": study.privacy.noise_multiplier}
    lines[f"aggregator {study.roster.aggregator.name}"] = study.roster.aggregator.fingerprint
    lines |= {f"silo {silo.name}": silo.fingerprint for silo in study.roster.silos}
    console.emit(lines, as_json=False)


@app.command("explain")
def study_explain(
    file: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A signed study or a draft.")],
    parameters: Annotated[
        int | None, typer.Option(min=1, help="Trainable values of a draft's model: adds bytes and seconds a round.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a study tolerates, how it encrypts, and what a round costs a silo. Needs no key.

    \b
    Example:
    collegium-consortium study explain draft.yaml --parameters 6000
    """
    from deploy.consortium import explanation  # numpy, which no other command needs

    study, signed_by = explanation.read(file)
    found = explanation.explain(study, signed_by, parameters)
    console.emit(explanation.as_json(found) if as_json else explanation.in_words(found), as_json=as_json)


@app.command("from-bundle")
def study_from_bundle(
    configuration: Annotated[
        Path, typer.Argument(help="Configuration file of a MONAI Bundle, such as configs/inference.json.")
    ],
    weights: Annotated[Path | None, typer.Option(help="A safetensors file to start from.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a draft's model must be for the network of a MONAI Bundle. Executes nothing of the bundle; needs no key.

    \b
    Example:
    collegium-consortium study from-bundle spleen/configs/inference.json --json
    """
    from deploy.consortium import starting  # torch, which no other command needs

    found = starting.model(configuration, weights)
    if not as_json:
        found["model"] = json.dumps(found["model"])
    console.emit(found, as_json=as_json)
