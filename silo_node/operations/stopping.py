"""`collegium-silo stop`: a running silo ends after its round, and its ledger says who wanted that and why.

The wish is a file that survives both processes. The silo looks at it between rounds, where nothing is under way that
would be lost: the ledger's entry comes first, then the file goes. A round that is open is finished.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from privacy import durable
from privacy.attribution import By, Reason, checked
from privacy.digest import Json
from privacy.errors import ConfigError, CorruptState
from privacy.ledger.store import Ledger
from privacy.operations import live
from silo_node.state import StateDirectory

FILE = "stop-request.json"


@dataclass(frozen=True)
class StopRequest:
    """The wish of a person that a silo stop, in the state directory `state`."""

    state: Path

    def make(self, by: str, reason: str) -> None:
        """Ask. Raises StorageError."""
        at = datetime.now(UTC).isoformat()
        durable.write(self.state / FILE, json.dumps({"by": by, "reason": reason, "time": at}).encode() + b"\n")

    def heed(self, ledger: Ledger, study_digest: bytes, round_number: int) -> bool:
        """Whether to stop now, after a round. If so it is in the ledger, and no later start is asked again.

        Raises:
            CorruptState: the file is not one that this program wrote. StorageError: the disk refuses.
        """
        path = self.state / FILE
        if not path.exists():
            return False
        by, reason = _read(path)
        body: dict[str, Json] = {"study_digest": study_digest.hex(), "round": round_number, "by": by, "reason": reason}
        ledger.append("stopped", body)
        path.unlink()
        durable.sync_folder(self.state)
        return True


def _read(path: Path) -> tuple[str, str]:
    try:
        match json.loads(path.read_bytes()):
            case {"by": str(by), "reason": str(reason), "time": str(_)}:
                return by, reason
    except (ValueError, RecursionError):
        pass
    raise CorruptState(f"{FILE} is damaged; remove it and ask again with 'collegium-silo stop'", code="stop.damaged")


def stop(
    state: Annotated[Path, typer.Option("--state", help="State directory of this silo.")],
    reason: Reason,
    by: By = None,
) -> None:
    """Ask the running silo to end after its round; it goes on with 'run' where it was.

    Example: collegium-silo stop --reason "maintenance of the host" --state /var/lib/collegium
    """
    who, why = checked(by, reason)
    directory = StateDirectory(state)
    found = live.read(directory.root)
    if found is None or not found.running:
        raise ConfigError("no silo runs on this state directory; there is nothing to stop", code="stop.not_running")
    StopRequest(directory.root).make(who, why)
    print(f"asked: the silo ends after round {found.said.get('round')}; 'collegium-silo status' says when it has")
