"""Enters that a report was made, by the digest under which its readers know it.

That is the SHA-256 of the file `report.json` as it lies there: `collegium-compliance verify` prints it in its line
"record", every signature under the report is bound to it, and the next report names it. Whether the report holds is
verify's matter, not asked here; the folder is only read, and nothing of the record but the studies' names is kept.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from privacy import regular
from privacy.digest import Json
from privacy.errors import ConfigError
from privacy.ledger.store import Ledger

RECORD: Final = "report.json"
FORMAT: Final = "collegium-report/"
MAX_RECORD: Final = 64 << 20
"""A record with more bytes is not read."""
MOST: Final = 50
"""Studies that an entry names; of the others it has the count."""
_NAME: Final = re.compile(r"(?:study )?[a-z0-9][a-z0-9-]{0,39}")  # the first part where only a digest is known


@dataclass(frozen=True)
class MadeReport:
    """A report: the SHA-256 of its record, hex, and the names of the studies in it."""

    digest: str
    studies: tuple[str, ...]

    @property
    def what(self) -> str:
        """The report in a few words."""
        shown, more = ", ".join(self.studies[:MOST]), len(self.studies) - MOST
        return (f"report on {shown}" if shown else "report") + (f" and {more} others" if more > 0 else "")

    def enter(self, ledger: Ledger, by: str) -> int:
        """The number of its entry.

        Raises:
            StorageError: the disk refuses.
        """
        body: dict[str, Json] = {"digest": self.digest, "what": self.what, "by": by}
        return ledger.append("report_made", body).sequence


def read_report(folder: Path) -> MadeReport:
    """The report in a folder that `collegium-compliance report` wrote.

    Raises:
        ConfigError: there is none.
    """
    try:
        data = regular.read(folder / RECORD, MAX_RECORD + 1)
        record = json.loads(data) if len(data) <= MAX_RECORD else None
    except (OSError, ValueError, RecursionError) as error:
        raise _none() from error
    match record:
        case {"format": str(form), "studies": list(studies)} if form.startswith(FORMAT):
            names = {one.get("name") for one in studies if isinstance(one, dict)}
        case _:
            raise _none()
    named = sorted(name for name in names if isinstance(name, str) and _NAME.fullmatch(name))
    return MadeReport(hashlib.sha256(data).hexdigest(), tuple(named))


def _none() -> ConfigError:
    return ConfigError(
        "this folder holds no report; name the one that 'collegium-compliance report' wrote", code="ledger.no_report"
    )
