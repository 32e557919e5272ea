"""An annex for a data-protection impact assessment, as Markdown: what the record can say of GDPR article 35(7).

(a) description, (b) necessity and proportionality, (c) risks, (d) measures. The assessment itself is a person's.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compliance.canonical import digest
from compliance.exports import NOT_SHOWN
from compliance.render import room

_STATED = {
    "controller": "Controller",
    "processor": "Processor",
    "legal_basis": "Legal basis",
    "ethics_approval": "Ethics approval",
    "impact_assessment": "Impact assessment",
    "agreements": "Agreements",
    "data_permit": "Data permit",
    "retention": "Retention",
    "transfers": "Transfers",
}


def annex(report: Mapping[str, Any]) -> str:
    """The annex."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield "# Annex to a data-protection impact assessment"
    yield f"\nFrom the report with SHA-256 `{digest(dict(report))}`, made at {report['made_at']}. Not legal advice.\n"
    yield "## (a) Description of the processing and its purposes\n"
    for study in report["studies"]:
        yield f"- **{_plain(study['name'])}**: {_plain(study['description'] or NOT_SHOWN)}"
        for approval in study["approvals"]:
            place = f"{_plain(approval['silo'])}, cohort {_plain(approval['cohort'])}"
            yield f"  - {place}: approved by {_plain(approval['by'])}"
    yield from _governance(report["studies"])
    yield "## (b) Necessity and proportionality\n"
    yield "Images stay at the hospital. Encrypted updates leave it, of which only sums over hospitals are opened.\n"
    for ingest in report["ingests"]:
        yield (
            f"- {_plain(ingest['silo'])}, cohort {_plain(ingest['cohort'])}: {ingest['patients']} patients, "
            f"{ingest['images']} images, {_plain(ingest['profile'])}, edition {_plain(ingest['table_edition'])}"
        )
    yield "\nWhether the purpose could be reached with less: not shown.\n"
    yield "## (c) Risks to the rights and freedoms of patients\n"
    yield from (f"- {_plain(sentence)}" for sentence in report["statement"])
    yield "\nNot covered by this protection:\n"
    for exposure in report["exposures"]:
        recorded = f" ({_plain(exposure['recorded'])})" if exposure["recorded"] else ""
        yield f"- **{_plain(exposure['title'])}**{recorded}. {_plain(exposure['explanation'])}"
    yield "\n## (d) Measures\n"
    yield "| hospital | cohort | epsilon spent | delta | cap | rounds |\n|---|---|---|---|---|---|"
    for silo in report["silos"]:
        for cohort in silo["cohorts"]:
            cells = [silo["name"], cohort["names"][0], *(cohort[key] for key in ("spent", "delta", "cap", "rounds"))]
            yield "| " + " | ".join(_plain(NOT_SHOWN if cell is None else str(cell)) for cell in cells) + " |"
    for study in report["studies"]:
        trust = study["trust"]
        if trust:
            yield (
                f"\n{_plain(study['name'])}: a sum is of at least {trust['threshold']} hospitals; encryption of "
                f"{trust['security_bits']} bits; up to {trust['collusion_tolerated']} hospitals may work together with "
                "the aggregator and see no other hospital's update."
            )
    yield from _audits(report["audits"])
    yield f"\nLedgers verified: {report['summary']['verified']} of {report['summary']['ledgers']}."
    yield f"\nRefusals, incidents and abandoned rounds: {len(report['occurrences'])}."


def _governance(studies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for study in studies:
        stated = study["governance"] or {}
        yield f"\nStated in the signed study {_plain(study['name'])}, and checked by nobody here:\n"
        for key, label in _STATED.items():
            yield f"- {label}: {_plain(stated.get(key) or NOT_SHOWN)}"
    yield "\nLegitimate interest: not shown.\n"


def _audits(audits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "\nTests by attack on the training code, with made-up patients:" + ("\n" if audits else " not shown.")
    for one in audits:
        yield (
            f"- {_plain(one['silo'])}, {one['time'][:10]}, {_plain(one['what'])}: {_plain(one['outcome'])}; epsilon is "
            f"at least {room(one['lower_bound'])} and claimed to be {one['claimed_epsilon']:g}"
        )


def _plain(text: str) -> str:
    """Text of evidence on one line, that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
