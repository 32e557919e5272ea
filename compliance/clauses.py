"""Which clause each part of a report is meant to serve, from a file that counsel can edit; carried by the record.

It states no more than the file does: that a clause is listed does not mean that it is met.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from privacy.configuration import Strict, load

PARTS: Final = (
    "statement", "unit", "budget", "curve", "forecast", "hard-stop", "mechanism", "accountants", "trust", "approvals",
    "other-uses", "randomness", "software", "audits", "deidentification", "data", "utility", "governance", "changes",
    "rounds", "incidents", "signatures", "ledgers", "proofs", "check",
)  # fmt: skip
"""The parts of a report, as the file names them."""
OURS: Final = Path(__file__).parent / "data" / "clauses.yaml"

Text = Annotated[str, Field(min_length=1, max_length=400)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


class Clause(Strict):
    """A clause of a rule, and in a few words what it is about."""

    rule: Text
    clause: Text
    subject: Text


class Clauses(Strict):
    """The file: clauses by a short name, and for each part of a report the names of those that it may serve."""

    format: Literal["collegium-clauses/1"]
    edition: Text
    notice: Annotated[str, Field(min_length=1, max_length=2000)]
    reviewed_by: Annotated[str, Field(max_length=400)] = ""
    clauses: dict[Id, Clause]
    parts: dict[Id, tuple[Id, ...]]

    @model_validator(mode="after")
    def _complete(self) -> "Clauses":
        if set(self.parts) != set(PARTS):
            odd = sorted(set(self.parts) ^ set(PARTS))
            raise ValueError(f"every part must be listed once, and no other: see {', '.join(odd)}")
        if unknown := sorted({name for names in self.parts.values() for name in names} - set(self.clauses)):
            raise ValueError(f"there is no clause {', '.join(unknown)}")
        return self


def read(path: Path = OURS) -> Clauses:
    """The clauses of a file.

    Raises:
        ConfigError: it does not have the form, with its line.
    """
    return load(path, Clauses)
