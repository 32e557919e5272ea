"""A study's evidence with cosigned ledgers, the report that is made of it, and what a check finds wrong in that."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from compliance import bundle, publication
from compliance.budget import Accountant
from compliance.checks.check import Check, Outcome
from compliance.evidence import gather
from compliance.report import build
from compliance.signing import Meaning, Signer
from compliance.studies import Accountants
from privacy.digest import Json
from privacy.ledger.heads import note
from privacy.ledger.heads.cosignature import CosigningKeys
from privacy.ledger.heads.cosigned import Party, Shelf
from privacy.ledger.heads.cosigner import state
from privacy.ledger.heads.watch import Watch
from tests.compliance.evidence import SILOS, Consortium, cheap

AT = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
CHAIN = "ef" * 32


def quick() -> Accountants:
    return Accountants(Accountant(cheap), Accountant(cheap), Accountant(cheap), {"pld": "cheap 1", "prv": "cheap 2"})


def make(consortium: Consortium, directory: Path) -> Path:
    with bundle.new(directory) as folder:
        bundle.collect([consortium.root], folder / bundle.EVIDENCE)
        record = build(gather(folder / bundle.EVIDENCE), quick(), AT).canonical()
        (folder / bundle.RECORD).write_bytes(record)
        signer = Signer(consortium.keys["consortium"], "Dr. Ada Roe", Meaning.APPROVED)
        bundle.add_signature(folder, signer.sign(record, AT))
        publication.publish(folder, pdf=False)
    return directory


def witness(consortium: Consortium, by: str) -> None:
    """`by` enters the present heads of all others."""
    heads: list[Json] = []
    for party in (*SILOS, "adder"):
        with consortium.ledger(party) as ledger:
            size, root = ledger.head()
        if party != by:
            heads.append({"party": party, "size": size, "root": root.hex()})
    consortium.write(by, "witnessed", study_digest=consortium.study.digest().hex(), round=1, heads=heads)


def cosign(consortium: Consortium) -> None:
    """Everybody cosigns the present heads of all others, which keep what they get, as in a round."""
    origins = {}
    for party in (*SILOS, "adder"):
        with consortium.ledger(party) as ledger:
            origins[party] = ledger.origin
    for owner, origin in origins.items():
        key = consortium.keys[owner]
        public = Party(origin, key.public_key().public_bytes_raw())
        with consortium.ledger(owner) as ledger:
            text = note.checkpoint(origin, *ledger.head(), key)
        for name, uri in origins.items():
            if name != owner:
                keys = CosigningKeys(
                    uri, consortium.keys[name], MLDSA44PrivateKey.from_seed_bytes(name.encode().ljust(32))
                )
                watch = Watch(consortium.root / name / "ledger", keys)
                cosigned = watch.cosign(origin, public.identity, text, None, 1_700_000_000)
                shelf = Shelf(consortium.root / owner / "ledger", public)
                shelf.keep(cosigned, state(keys), Party(uri, keys.public().ed25519))


def history(root: Path, endings: Callable[[str, int], str] = lambda silo, number: "closed") -> Consortium:
    """A study of three rounds and one of metrics that all parties tell alike, each seen by the others."""
    consortium = Consortium(root, rounds=3)
    consortium.publish()
    digest = consortium.study.digest().hex()
    consortium.write("adder", "study_published", study_digest=digest)
    for silo in SILOS:
        consortium.approve(silo)
    for number in (1, 2, 3, 4):
        for silo in SILOS:
            if number <= consortium.rounds:
                consortium.train(silo, number, ending=endings(silo, number))
            elif endings(silo, number) == "closed":
                consortium.write(silo, "release", study_digest=digest, round=number, what="metrics", protected=False)
        about: dict[str, Json] = {"study_digest": digest, "round": number}
        consortium.write("adder", "survivors", **about, survivors="cd" * 32, silos=[1, 2, 3])
        consortium.write("adder", "closed", **about, outcome="closed", chain=CHAIN)
    for party in ("adder", "alpha"):
        witness(consortium, party)
    return consortium


def failed(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.line for check in checks if check.outcome is Outcome.FAILED}
