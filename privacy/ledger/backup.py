"""A verified copy of a ledger's folder, taken beside its writer.

The head is read first, so that the copy holds every entry that the head covers; what the writer was in the middle of is
left out. Details that are erased meanwhile make it begin again. A copy that is put back has lost what came after it:
witnesses find that, see `privacy.ledger.heads.witness`.
"""

from pathlib import Path

from privacy import durable, regular
from privacy.errors import StorageError
from privacy.ledger import details, readings
from privacy.ledger.files import ENTRIES, HEAD, ORIGIN, VERSION, read_bytes, unreadable
from privacy.ledger.heads import cosigned, watch
from privacy.ledger.reader import VerifiedLedger, read
from privacy.ledger.store import details_kept

FOLDERS = (details.FOLDER, readings.FOLDER, cosigned.FOLDER, watch.FOLDER)
ATTEMPTS = 5


def copy(ledger: Path, target: Path) -> VerifiedLedger:
    """Copy a ledger durably into a new or empty folder and verify the copy.

    Raises:
        CorruptState: the ledger is damaged, or there is none.
        StorageError: the disk refuses.
    """
    for _ in range(ATTEMPTS):
        _copy_once(ledger, target)
        verified, side = read(target), details.SideStore(target)
        kept, found = details_kept(verified.entries), side.names()
        for name in found - kept:  # without an entry yet, or erased in an attempt before
            side.erase(name)
        if kept <= found:
            return verified
    raise StorageError("details of the ledger are being erased all the time; try again later")


def _copy_once(ledger: Path, target: Path) -> None:
    head = read_bytes(ledger / HEAD)
    entries = read_bytes(ledger / ENTRIES)
    durable.make_folder(target)
    for name in (ORIGIN, VERSION):
        durable.write(target / name, read_bytes(ledger / name))
    durable.write(target / ENTRIES, entries[: entries.rfind(b"\n") + 1])
    for name in FOLDERS:
        copy_files(ledger / name, target / name)
    durable.write(target / HEAD, head)


def copy_files(folder: Path, target: Path) -> None:
    """Copy the files of a folder durably, those of its folders too; none is made where there is none.

    What is being written there, or is removed meanwhile, is left out. Raises StorageError.
    """
    if not folder.is_dir():
        return
    durable.make_folder(target)
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            copy_files(path, target / path.name)
            continue
        try:
            data = regular.read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unreadable(path.name, error) from error
        durable.write(target / path.name, data)
