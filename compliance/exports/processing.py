"""Records of processing (GDPR article 30(1)) as CSV, a line for each hospital and study that its ledger approved.

Legal basis, transfers and retention are what the signed study states; what it leaves out is "not shown". Cells that a
spreadsheet would run are quoted.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any

from compliance.exports import NOT_SHOWN

COLUMNS = (
    "controller",
    "study",
    "purpose",
    "categories of data subjects",
    "categories of personal data",
    "recipients",
    "transfers to third countries",
    "time limits for erasure",
    "security measures",
    "legal basis",
    "approved by",
    "approved at",
    "study digest",
)


def table(report: Mapping[str, Any]) -> str:
    """The CSV (RFC 4180), with a head."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for study in report["studies"]:
        for approval in study["approvals"]:
            writer.writerow(map(_cell, _row(study, approval)))
    return text.getvalue()


def _row(study: Mapping[str, Any], approval: Mapping[str, Any]) -> tuple[str, ...]:
    trust = study["trust"] or {}
    stated = study["governance"] or {}
    others = [name for name in trust.get("silos", ()) if name != approval["silo"]]
    noise = "differential privacy for each patient" if study["mechanisms"] else NOT_SHOWN
    if study["unprotected"]:
        noise = "no differential privacy"
    return (
        approval["silo"],
        study["name"],
        study["description"] or NOT_SHOWN,
        f"patients of cohort '{approval['cohort']}'",
        "medical images and a label, de-identified before use; only encrypted model updates leave the hospital",
        ", ".join([*others, trust["aggregator"]]) if trust else NOT_SHOWN,
        stated.get("transfers") or NOT_SHOWN,
        stated.get("retention") or NOT_SHOWN,
        f"{noise}; encrypted sums of several hospitals; signed ledger",
        stated.get("legal_basis") or NOT_SHOWN,
        approval["by"],
        approval["time"],
        study["digest"],
    )


def _cell(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
