"""`collegium-silo budget`: set the cap of a cohort, show what is spent, make a second person's key.

A cap is an entry of this silo's ledger, with who set it and why; `privacy.ledger.budgets.caps` says when it counts.
Nothing here can give back what was charged.
"""

import math
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy import attribution, console, durable
from privacy.channel import passphrase
from privacy.console import AsJson
from privacy.errors import ConfigError, IdentityError, PolicyRefused
from privacy.ledger import reader
from privacy.ledger.budgets.caps import Cap, Request
from privacy.ledger.budgets.overlap import Cohorts
from privacy.ledger.entry import Entry
from silo_node import configuration
from silo_node.budgets import second_person
from silo_node.state import StateDirectory

app = typer.Typer(no_args_is_help=True, help="The privacy budgets of this hospital's cohorts.")

State = Annotated[Path, typer.Option("--state", help="State directory of this silo.")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File that holds the key's passphrase.", show_default="ask")
]


@app.command("set")
def set_cap(
    cohort: Annotated[str, typer.Option(help="Name of an ingested cohort.")],
    epsilon: Annotated[float, typer.Option(help="The most that may ever be spent, over all studies.")],
    delta: Annotated[float, typer.Option(help="Below one over the number of the cohort's patients.")],
    reason: Annotated[str, typer.Option(help="Why, for the ledger. No patient data.")],
    by: Annotated[str, typer.Option(help="Who decides, for the ledger.")],
    state: State,
    second_key: Annotated[
        Path | None, typer.Option(help="Key of the second person, where silo.yaml asks for one to raise a cap.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Set the cap of a cohort. It counts at once, for running studies too; what was spent stays spent.

    Example: collegium-silo budget set --cohort chest --epsilon 6 --delta 0.0001 --reason "vote of 3 May" --by "Ada Roe"
    --state st-marys
    """
    from silo_node.approvals import costs

    directory = StateDirectory(state)
    identity = directory.identity()
    policy = configuration.read(state).policy
    who, why = attribution.checked(by, reason)
    request = Request(cohort, _cap(epsilon, delta), reason=why, by=who)
    with durable.lock(state), directory.open_ledger(identity) as ledger:
        _known(ledger.entries, cohort)
        guard = costs.budget_filter(policy)
        before = guard.own_cap(ledger.entries, cohort).cap
        key = None
        if request.cap.raises(before) and policy.second_person is not None:
            try:
                key = _consent(second_key, passphrase_file, policy.second_person)
            except (PolicyRefused, IdentityError) as error:
                ledger.append(
                    "incident",
                    {"code": error.code, "detail": f"a higher cap of cohort '{cohort}' was refused: {error}"},
                )
                raise
        entry = ledger.append("budget_set", request.body(key, *ledger.head()))
        cap = guard.cap(ledger.entries, cohort)
    console.emit(
        {
            "cohort": cohort,
            "epsilon": epsilon,
            "delta": delta,
            "before": {"epsilon": before.epsilon, "delta": before.delta},
            "in_force": {"epsilon": cap.epsilon, "delta": cap.delta},
            "second_person": second_person.fingerprint_of(key) if key else None,
            "entry": entry.sequence,
        },
        as_json=as_json,
    )


@app.command()
def show(
    state: State,
    cohort: Annotated[str | None, typer.Option(help="Only this cohort.", show_default="all")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is spent of each cohort's budget, by which study, and how many rounds of each still fit.

    Example: collegium-silo budget show --state /var/lib/collegium --cohort chest
    """
    from silo_node.budgets import view as budget_view

    directory = StateDirectory(state)
    identity = directory.identity()
    policy = configuration.read(state).policy
    found = reader.read(state / "ledger")
    if found.key != identity.keys.public_identity:
        raise IdentityError("this ledger was written with another identity key", code="ledger.foreign_key")
    names = tuple(dict.fromkeys(str(e.body["cohort"]) for e in found.entries if e.kind == "cohort"))
    if cohort is not None:
        _known(found.entries, cohort)
        names = (cohort,)
    studies = budget_view.approved(directory, identity)
    views = [budget_view.view(name, found.entries, policy, studies) for name in names]
    if as_json:
        console.emit({"cohorts": [budget_view.to_json(view) for view in views]}, as_json=True)
        return
    print("\n".join(budget_view.text(view) for view in views) or "no cohort was ingested here yet")


@app.command("second-key")
def make_second_key(
    output: Annotated[Path, typer.Option("--output", "-o", help="New file for the key; keep it off this machine.")],
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Make the key whose consent a higher cap needs; for a person who does not run the silo.

    Example: collegium-silo budget second-key -o officer.key
    """
    passphrase = _passphrase(passphrase_file, confirm=True)
    made = second_person.make(output, passphrase)
    console.emit(
        {"key": str(output), "fingerprint": made, "next": "put the fingerprint into silo.yaml as second_person"},
        as_json=as_json,
    )


def _consent(file: Path | None, passphrase_file: Path | None, wanted: str) -> Ed25519PrivateKey:
    if file is None:
        raise PolicyRefused(
            "a higher cap needs the consent of the second person that silo.yaml names; have that person add "
            "--second-key and type its passphrase",
            code="budget.second_person",
        )
    key = second_person.load(file, _passphrase(passphrase_file, confirm=False))
    if second_person.fingerprint_of(key) != wanted:
        raise PolicyRefused("this is not the key that silo.yaml names as second_person", code="budget.second_person")
    return key


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is not None:
        return passphrase.read(file)
    return passphrase.ask("the second person's key", confirm=confirm)


def _known(entries: tuple[Entry, ...], cohort: str) -> None:
    if cohort not in Cohorts(entries):
        raise ConfigError(f"the ledger has no cohort '{cohort[:40]}'; ingest it first, or correct the name")


def _cap(epsilon: float, delta: float) -> Cap:
    if not (math.isfinite(epsilon) and 0 < epsilon <= 100 and 0 < delta < 0.1):
        raise ConfigError("a cap has an epsilon above 0 and up to 100 and a delta above 0 and below 0.1")
    return Cap(epsilon, delta)
