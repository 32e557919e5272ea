"""`collegium-silo decommission`: destroys every key of this silo for good and keeps its ledger, which still verifies.

Tables of names drawn at random are keys in this sense, and so is a proxy's password. The ledger's last entry says who,
why and what, and is signed before the key that signs is destroyed, which is the last one. Without the keys the images
of cohorts cannot be opened, pseudonyms not be traced and no message be signed. Files are overwritten and removed; what
disks with wear levelling, snapshots and backups keep of them is not in its power.
"""

from pathlib import Path
from typing import Annotated

import typer

from privacy import console, durable
from privacy.attribution import By, Reason, checked
from privacy.channel import identity as keys
from privacy.channel.key_file import signing_key
from privacy.configuration import load
from privacy.errors import IdentityError, PolicyRefused
from privacy.ledger.facts.ending import refuse_decommissioned
from privacy.ledger.store import Ledger
from privacy.signer import Signer
from privacy.token.keys import TokenSigner
from silo_node.rounds.round_vault import RoundVault, default_folder
from silo_node.state import StateDirectory


def found(directory: StateDirectory) -> tuple[Path, ...]:
    """The secret files, in the order in which they are destroyed: the one that signs the ledger comes last."""
    root, folder = directory.root, directory.identity_folder
    last = folder / keys.IDENTITY_FILE
    wanted = [
        *sorted(root.glob("studies/*/key")),
        *sorted(root.glob("pseudonyms*.sqlite*")),  # names in clear, and what SQLite keeps beside its file
        *(root / name for name in ("cohort.key", "pseudonym.key", "cosigner.key", "proxy.url")),
        *sorted(path for path in folder.rglob("*.key") if path != last),  # also that of a certificate to come
        last,
    ]
    return tuple(path for path in wanted if path.exists())


def decommission(
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    reason: Reason,
    by: By = None,
    runtime: Annotated[
        Path | None, typer.Option(help="Memory-backed folder for a round's secrets.", show_default="in /dev/shm")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; what follows is printed all the same.")] = False,
) -> None:
    """Destroy all keys of this silo for good. The ledger stays and still verifies; nothing else works afterwards.

    Example: collegium-silo decommission --reason "the consortium has ended" --state /var/lib/collegium
    """
    who, why = checked(by, reason)
    directory = StateDirectory(state)
    refuse_decommissioned(state)
    if not (directory.identity_folder / keys.IDENTITY_FILE).exists():
        raise IdentityError(
            "this silo has no identity key (any more); nothing was changed", code="identity.missing_key"
        )
    name, signer = _who(directory)
    with durable.lock(state):
        paths = found(directory)
        names = [path.relative_to(directory.root).as_posix() for path in paths]
        token = signer.token if isinstance(signer, TokenSigner) else None
        print("These keys and secrets are destroyed, and nothing brings them back:")
        print("\n".join(f"  {name}" for name in names))
        if token is not None:
            print(f"What of them is in the token '{token.description.token}' is destroyed there.")
        print(
            "Images of cohorts can then not be opened, pseudonyms not be traced, studies not go on. The ledger stays."
        )
        question = f"Type the name of this silo ({name}) to go on"
        if not yes and console.answered(lambda: typer.prompt(question, default="")) != name:
            raise PolicyRefused("nothing was destroyed and nothing was changed", code="policy.declined")
        with _ledger(directory, signer) as ledger:
            ledger.append("decommissioned", {"destroyed": len(paths), "by": who, "reason": why})
        RoundVault.clear(runtime or default_folder(state))
        for path in paths:
            if path == paths[-1] and token is not None:
                token.destroy_all(*keys.USES)
            durable.destroy(path)
            durable.sync_folder(path.parent)
    print("done: copies in backups have to be destroyed by whoever keeps them; keep the folder 'ledger'")


def _whole(directory: StateDirectory) -> bool:
    """Whether the keys can be loaded as ever: one that was cut off may have left the one that signs alone."""
    return (directory.identity_folder / keys.TLS_FILE).exists()


def _who(directory: StateDirectory) -> tuple[str, Signer]:
    """The name of this silo, and its key that signs. Raises IdentityError: not enrolled, or the key is unusable."""
    folder = directory.identity_folder
    if _whole(directory):
        identity = directory.identity()
        return identity.member.name, identity.keys.identity
    return load(folder / keys.CONSORTIUM_FILE, keys.Consortium).name, signing_key(folder / keys.IDENTITY_FILE)


def _ledger(directory: StateDirectory, signer: Signer) -> Ledger:
    return (
        directory.open_ledger(directory.identity())
        if _whole(directory)
        else Ledger.open(directory.root / "ledger", signer)
    )
