"""One study as the report shows it: mechanism, both accountants, trust model, approvals and how its rounds went.

What the signed study states and what ledgers record are kept apart; where neither shows a thing, the
field is None. The statements on trust describe this version of Collegium: they follow from its
construction and are not found in a ledger.
"""

from dataclasses import dataclass

from compliance.budget import Accountant, CohortBudget
from compliance.evidence import Evidence, StudyEvidence
from compliance.ledgers import LedgerEvidence
from compliance.transport import Transport, transports
from privacy.dp import accounting
from privacy.dp.events import DpEvent, DpSgdEvent, UnprotectedEvent, from_json, merge
from privacy.governance import Governance
from privacy.ledger.entry import Entry
from privacy.roster import fingerprint
from privacy.study import Encryption, Privacy

RLWE_BITS = {4096: ((58, 256), (75, 192), (109, 128)), 16384: ((237, 256), (305, 192), (438, 128))}
"""Largest modulus in bits, and classical security in bits it gives, by ring degree: HomomorphicEncryption.org security
standard (2018), table 1, ternary secrets; SEAL refuses more than the first (TC256)."""


@dataclass(frozen=True)
class Accountants:
    """The accountants at hand; `prv` is None where Opacus is not installed. `names` has their versions."""

    pld: Accountant
    rdp: Accountant
    prv: Accountant | None
    names: dict[str, str]

    @classmethod
    def installed(cls) -> "Accountants":
        """Those of `privacy.dp.accounting`."""
        prv = Accountant(accounting.epsilon_prv) if "prv" in accounting.ACCOUNTANTS else None
        return cls(
            Accountant(accounting.epsilon_pld),
            Accountant(accounting.epsilon_rdp),
            prv,
            dict(accounting.ACCOUNTANTS),
        )


@dataclass(frozen=True)
class Figures:
    """Epsilon of one history at `delta` by each accountant; `agree` is None where there is no second one."""

    delta: float
    pld: float
    prv: float | None
    rdp: float
    agree: bool | None


@dataclass(frozen=True)
class Mechanism:
    """One kind of event that a study charged; the clip and the divisor stand in the signed study only."""

    name: str
    unit: str
    adjacency: str | None
    noise_at: str | None
    sampling_rate: float | None
    noise_multiplier: float | None


@dataclass(frozen=True)
class Approval:
    """A hospital's approval, as its ledger has it."""

    silo: str
    cohort: str
    time: str
    by: str
    roster_code: str
    confirmed: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """A model that left the protocol: by whom, when, after which round, and its digest."""

    silo: str
    time: str
    round: int
    model_digest: str


@dataclass(frozen=True)
class Rounds:
    """How the rounds of a study ended at one party; only hospitals are charged."""

    party: str
    opened: int
    closed: int
    abandoned: int
    without_result: int | None
    steps: int | None


@dataclass(frozen=True)
class Trust:
    """Encryption as the signed study fixes it, the parties, and what the threshold tolerates."""

    ring_degree: int
    modulus_bits: int
    security_bits: int
    value_bits: int
    silos: tuple[str, ...]
    steward: str
    aggregator: str
    threshold: int
    dropouts_tolerated: int
    collusion_tolerated: int
    roster_code: str


@dataclass(frozen=True)
class StudyView:
    """A study; `signed` is false when only ledgers speak of it, and then what the file would state is None.

    `mechanisms` and `figures` come from ledgers; `as_signed` is whether those are the mechanism that was signed.
    """

    name: str
    digest: str
    signed: bool
    signer: str | None
    description: str
    model: str | None
    planned_rounds: int | None
    local_steps: int | None
    target_epsilon: float | None
    target_delta: float | None
    clip: float | None
    lot_size: int | None
    mechanisms: tuple[Mechanism, ...]
    as_signed: bool | None
    figures: Figures | None
    unprotected: bool
    trust: Trust | None
    transport: tuple[Transport, ...]
    governance: Governance | None
    approvals: tuple[Approval, ...]
    rounds: tuple[Rounds, ...]
    exports: tuple[Export, ...]


def security_bits(encryption: Encryption) -> int:
    """Classical security, in bits, of a study's ring by the table; 0 if the modulus is too large for any level."""
    levels = RLWE_BITS[encryption.ring_degree]
    return next((bits for largest, bits in levels if encryption.modulus_bits <= largest), 0)


def views(
    evidence: Evidence, budgets: dict[str, tuple[CohortBudget, ...]], accountants: Accountants
) -> tuple[StudyView, ...]:
    """All studies that a ledger or a signed file speaks of; `budgets` by silo."""
    digests = dict.fromkeys(found.digest for found in evidence.studies)
    for found in evidence.ledgers:
        for kind in ("approved", "study_published"):
            digests |= dict.fromkeys(str(entry.body["study_digest"]) for entry in found.of_kind(kind))
        digests |= dict.fromkeys(charge.study_digest for charge in found.charges)
    return tuple(_view(digest, evidence, budgets, accountants) for digest in digests)


def _view(
    digest: str, evidence: Evidence, budgets: dict[str, tuple[CohortBudget, ...]], accountants: Accountants
) -> StudyView:
    found = evidence.study(digest)
    study = found.study if found else None
    approved = _of_study(evidence, digest, "approved")
    histories = {
        share.events
        for cohorts in budgets.values()
        for cohort in cohorts
        for share in cohort.studies
        if share.study_digest == digest
    }
    planned = [from_json(entry.body["planned_event"]) for _, entry in approved]
    events = merge(event for history in histories for event in history) or merge(planned)
    delta = next((float(str(entry.body["cap_delta"])) for _, entry in approved), None)
    name = next((str(entry.body["study"]) for _, entry in approved), f"study {digest[:12]}")
    mechanisms = tuple(dict.fromkeys(_mechanism(event) for event in events))
    return StudyView(
        name=study.name if study else name,
        digest=digest,
        signed=study is not None,
        signer=fingerprint(bytes.fromhex(found.signer)) if found else None,
        description=study.description if study else "",
        model=study.model.name if study else None,
        planned_rounds=study.training.rounds if study else None,
        local_steps=study.training.local_steps if study else None,
        target_epsilon=study.privacy.epsilon if study else None,
        target_delta=study.privacy.delta if study else None,
        clip=study.privacy.clip if study else None,
        lot_size=study.privacy.lot_size if study else None,
        mechanisms=mechanisms,
        as_signed=all(_as_signed(mechanism, study.privacy) for mechanism in mechanisms) if study else None,
        figures=_figures(histories, (study and study.privacy.delta) or delta, accountants),
        unprotected=any(isinstance(event, UnprotectedEvent) for event in events),
        trust=_trust(found) if found else None,
        transport=transports(evidence, digest),
        governance=study.governance if study else None,
        approvals=tuple(_approval(silo, entry) for silo, entry in approved),
        rounds=tuple(_rounds(ledger, digest) for ledger in evidence.ledgers if digest in ledger.tallies),
        exports=tuple(
            Export(silo, entry.time, int(str(entry.body["round"])), str(entry.body["model_digest"]))
            for silo, entry in _of_study(evidence, digest, "exported")
        ),
    )


def _figures(histories: set[tuple[DpEvent, ...]], delta: float | None, accountants: Accountants) -> Figures | None:
    """The figures of the hospital that charged most."""
    if not histories or delta is None:
        return None
    worst = max(histories, key=lambda history: accountants.pld.epsilon(history, delta))
    pld = accountants.pld.epsilon(worst, delta)
    rdp = accountants.rdp.epsilon(worst, delta)
    prv = accountants.prv.epsilon(worst, delta) if accountants.prv else None
    agree = None if prv is None else pld == prv or abs(pld - prv) <= accounting.AGREEMENT
    return Figures(delta, pld, prv, rdp, agree)


def _mechanism(event: DpEvent) -> Mechanism:
    if isinstance(event, DpSgdEvent):
        return Mechanism(
            event.mechanism, event.unit, event.adjacency, event.noise_at, event.sampling_rate, event.noise_multiplier
        )
    return Mechanism(event.mechanism, event.unit, None, None, None, None)


def _as_signed(mechanism: Mechanism, signed: Privacy) -> bool:
    if mechanism.name != signed.mechanism:
        return False
    noise = (signed.sampling_rate, signed.noise_multiplier)
    return signed.mechanism == "none" or (mechanism.sampling_rate, mechanism.noise_multiplier) == noise


def _trust(found: StudyEvidence) -> Trust:
    study = found.study
    return Trust(
        study.encryption.ring_degree,
        study.encryption.modulus_bits,
        security_bits(study.encryption),
        study.encryption.bits,
        tuple(silo.name for silo in study.roster.silos),
        study.roster.steward,
        study.roster.aggregator.name,
        study.roster.threshold,
        study.roster.dropouts_tolerated,
        study.roster.collusion_tolerated,
        study.roster.code,
    )


def _of_study(evidence: Evidence, digest: str, kind: str) -> tuple[tuple[str, Entry], ...]:
    """A study's entries of one kind in the hospitals' ledgers, with the hospital."""
    return tuple(
        (silo.party, entry)
        for silo in evidence.silos()
        for entry in silo.of_kind(kind)
        if entry.body["study_digest"] == digest
    )


def _approval(silo: str, entry: Entry) -> Approval:
    body = entry.body
    return Approval(
        silo, str(body["cohort"]), entry.time, str(body["by"]), str(body["roster_code"]), _confirmed(body["confirmed"])
    )


def _confirmed(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(f"{item.get('silo', '?')}: {item.get('how', '?')}" for item in items if isinstance(item, dict))


def _rounds(found: LedgerEvidence, digest: str) -> Rounds:
    tally, silo = found.tallies[digest], found.role == "silo"
    steps = sum(charge.event.steps for charge in found.charges if charge.study_digest == digest)
    return Rounds(
        found.party,
        tally.opened,
        tally.closed,
        tally.abandoned,
        tally.charged - tally.finished if silo else None,
        steps if silo else None,
    )
