"""Everything that reads files which another program, another time or a damaged disk may have changed."""

import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.errors import CollegiumError
from privacy.ledger import fsck, line, reader
from privacy.ledger.heads import note, proof
from privacy.ledger.store import Ledger
from privacy.release import manifest
from privacy.release.manifest import Release, ReleasedFile
from privacy.roster import fingerprint
from privacy.study import dump, sign
from tests.fuzz.target import Target
from tests.privacy.studies import study

REFUSES = (CollegiumError,)
SAMPLES = Path(__file__).parents[2] / "deploy/samples"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ORIGIN = "spiffe://demo/silo/north"


@cache
def a_ledger() -> dict[str, bytes]:
    """The files of a ledger of three entries, and a proof that its first is in it."""
    with tempfile.TemporaryDirectory() as folder:
        with Ledger.create(Path(folder) / "ledger", ORIGIN, KEY) as ledger:
            for number in range(1, 4):
                ledger.append("round_opened", {"study_digest": "ab" * 32, "round": number})
            root = ledger.head()[1]
            proven = proof.make(ledger.entries, 0, note.checkpoint(ORIGIN, 3, root, KEY))
        files = {path.name: path.read_bytes() for path in (Path(folder) / "ledger").iterdir() if path.is_file()}
    return {**files, "proof": proven.encode()}


def lines() -> Iterator[bytes]:
    """The first entry of a ledger."""
    yield a_ledger()["entries.jsonl"].splitlines()[0]


def proofs() -> Iterator[bytes]:
    """A proof of inclusion, with its checkpoint."""
    yield a_ledger()["proof"]


def checkpoints() -> Iterator[bytes]:
    """A signed checkpoint."""
    yield note.checkpoint(ORIGIN, 7, bytes(32), KEY).encode()


def one_line(data: bytes) -> object:
    """A ledger's line; that it is none is a ValueError, which the reader turns into the place of the damage."""
    return line.parse(data, 0)


def a_damaged_ledger(file: str, data: bytes) -> object:
    """A ledger one of whose files has these bytes: read, and looked through by fsck."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**a_ledger(), file: data}.items():
            (Path(folder) / name).write_bytes(content)
        return fsck.examine(Path(folder)), reader.read(Path(folder))


def studies() -> Iterator[bytes]:
    """A signed study."""
    yield dump(sign(study(), KEY)).encode()


def as_text(read: Callable[[str], object], data: bytes) -> object:
    """What reads text, on bytes that are some."""
    return read(data.decode("utf-8", "replace"))


def ledger_file(name: str) -> Callable[[], Iterator[bytes]]:
    """A file of a sound ledger."""

    def seeds() -> Iterator[bytes]:
        yield a_ledger()[name]

    return seeds


def a_release() -> Release:
    """A release of one empty file."""
    file = ReleasedFile(path="silo.txt", size=0, sha256="ab" * 32)
    return Release(version="0.1.0", revision="cd" * 20, code={"silo": "ef" * 32}, files=(file,))


def read_release(name: str, data: bytes) -> object:
    """A release whose list or signature has these bytes; a list is signed whatever it is."""
    signature = manifest.sign(a_release(), KEY)
    if name == manifest.MANIFEST:
        signature = signature.model_copy(update={"ed25519": KEY.sign(manifest.CONTEXT + data).hex()})
    files = {manifest.MANIFEST: a_release().canonical(), manifest.SIGNATURE: signature.model_dump_json().encode()}
    with tempfile.TemporaryDirectory() as folder:
        for one, content in {**files, name: data}.items():
            (Path(folder) / one).write_bytes(content)
        return manifest.load(Path(folder), [fingerprint(PUBLIC)])


TARGETS = (
    Target("ledger-line", one_line, (*REFUSES, ValueError, RecursionError), lines),
    *(
        Target(f"ledger-{name.split('.')[0]}", partial(a_damaged_ledger, name), REFUSES, ledger_file(name))
        for name in ("entries.jsonl", "head.json", "origin.json")
    ),
    Target("ledger-proof", partial(as_text, lambda text: proof.verify(text, PUBLIC)), REFUSES, proofs),
    Target("checkpoint", partial(as_text, lambda text: note.read_checkpoint(text, PUBLIC)), REFUSES, checkpoints),
    Target(
        "release-list",
        partial(read_release, manifest.MANIFEST),
        REFUSES,
        lambda: iter([a_release().canonical()]),
    ),
    Target(
        "release-signature",
        partial(read_release, manifest.SIGNATURE),
        REFUSES,
        lambda: iter([manifest.sign(a_release(), KEY).model_dump_json().encode()]),
    ),
)
