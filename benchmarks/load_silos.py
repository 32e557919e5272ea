"""Some of the silos of `benchmarks.load`, in one process: real identities, connections and messages; made-up content.

Each silo is a thread with the silo's own client (`silo_node.connection.client`: retries, resumed streams, log of what
leaves) and sends what a silo sends in a round, signed with its own key. Keys, boxes and shares are random bytes of the
right sizes, and frames hold random words below the primes, made once: the aggregator can tell none of them from real
ones, and neither can its disk or its memory. What comes back is checked as far as that goes: who survived, every digest
of the sum and of the audited frames. What the others' messages hold is not opened.

`python -m benchmarks.load_silos FOLDER MOVING --study FILE --aggregator HOST:PORT --first A --last B --seed S` prints a
JSON line when it is ready, takes part in a round for each number on standard input, and prints one at each step of
each silo, with the seconds of the monotonic clock, which all processes of a machine share.
"""

import argparse
import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from privacy import study
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.digest import protocol_hash
from privacy.errors import CollegiumError, ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.limits import BOX_C_BYTES, BOX_S_BYTES, KEM_PUBLIC_BYTES, SEAL_TAG_BYTES, SHARE_BYTES
from privacy.wire.messages import (
    Advertise,
    Close,
    LedgerHead,
    ShareBox,
    Shares,
    Sign,
    Survivors,
    Unmask,
    UploadHeader,
)
from privacy.wire.requests import Phase
from privacy.wire.sets import advertise_set_digest, share_set_digest
from silo_node.connection.client import AggregatorClient, RoundEnded
from silo_node.egress.log import EgressLog
from silo_node.rounds.stored_upload import StoredUpload

PATIENCE_SECONDS = 300.0
TAG_BYTES = 64
LATE = ("round.late", "unmask.unexpected", "upload.late", "upload.repeated")
"""How a message is refused that is sent again, because the answer to the first was lost."""


class MadeUp:
    """An upload's frames and seeds below a folder, and their digests; the same in every round.

    Args:
        folder: a new one.
        params: of the study.
        length: values in an upload.
        draws: what fills it.
        total: the words (ciphertexts, primes, degree) to which those of this upload are added, unreduced.
    """

    def __init__(
        self,
        folder: Path,
        params: CiphertextParams,
        length: int,
        draws: np.random.Generator,
        total: NDArray[np.uint64],
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.sizes = params.frame_sizes(length)
        digests, first = [], 0
        for index, count in enumerate(params.frame_ciphertexts(length)):
            shape = (count, len(params.primes), params.degree)
            words = draws.integers(0, frames.moduli(params), shape, np.uint64)
            total[first : first + count] += words  # 64 words below 2^50 fit with room to spare
            first += count
            frame = frames.encode(words, params)
            (folder / f"frame-{index}").write_bytes(frame)
            digests.append(hashlib.sha256(frame).digest())
        seeds = draws.bytes(params.seed_bytes(length))
        (folder / "seeds").write_bytes(seeds)
        self.frame_sha256, self.seeds_sha256 = tuple(digests), hashlib.sha256(seeds).digest()


class Silo:
    """One silo.

    Args:
        signed: the study.
        identity: its own.
        moving: folder for what it sends and gets; best in memory.
        made_up: its upload.
        target: HOST:PORT.
        draws: what fills its messages.
    """

    def __init__(
        self, signed: Study, identity: Identity, moving: Path, made_up: MadeUp, target: str, draws: np.random.Generator
    ) -> None:
        self._study, self._identity, self._moving, self._made_up = signed, identity, moving, made_up
        self._index = signed.roster.index(identity.member.name)
        self._draws = draws
        self._egress = EgressLog(moving, signed.digest().hex(), "")
        self._client = AggregatorClient(identity, target, signed.digest(), PATIENCE_SECONDS, self._egress)
        self._everyone = range(1, len(signed.roster.silos) + 1)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def take_part(self, number: int) -> None:
        """Do a silo's part in a round.

        Raises:
            RuntimeError: what came back is not what it has to be.
        """
        before = self._egress.totals.get("Upload", 0)
        ctx = protocol_hash("ctx", number.to_bytes(8, "big"))
        self._client.ask_head(self._draws.bytes(32))
        self._deliver(self._seal(self._advertise(ctx, number)))
        advertised = self._client.published(number, Phase.ADVERTISED).messages
        self._say(number, "keys")
        self._deliver(self._seal(self._shares(ctx, number, advertised)))
        share_set = share_set_digest(self._client.published(number, Phase.SHARED).messages)
        self._say(number, "shares")
        self._send(self._seal(self._header(ctx, number, share_set)))
        self._say(number, "upload", upload_bytes=self._egress.totals["Upload"] - before)
        messages = self._client.published(number, Phase.SURVIVORS).messages
        self._say(number, "survivors")
        survivors = self._checked(messages, share_set)
        self._download(number, survivors)
        self._say(number, "sum")
        self._audit(number, messages)
        self._say(number, "audit")
        self._finish(number, ctx, protocol_hash("survivors", messages[0].body))
        self._say(number, "closed")

    # ---- what it sends

    def _advertise(self, ctx: bytes, number: int) -> Advertise:
        draw = self._draws.bytes
        keys = draw(KEM_PUBLIC_BYTES), draw(KEM_PUBLIC_BYTES), draw(32)
        return Advertise(ctx, number, self._index, *keys, heads=self._heads(number, self._everyone))

    def _shares(self, ctx: bytes, number: int, advertised: tuple[Signed, ...]) -> Shares:
        draw = self._draws.bytes
        boxes = tuple(
            ShareBox(self._study.roster.index(one.signer), draw(BOX_C_BYTES), draw(BOX_S_BYTES), draw(32), draw(32))
            for one in advertised
        )
        return Shares(ctx, number, self._index, advertise_set_digest(advertised), boxes)

    def _header(self, ctx: bytes, number: int, share_set: bytes) -> UploadHeader:
        made = self._made_up
        return UploadHeader(
            ctx, number, self._index, made.sizes, made.frame_sha256, made.seeds_sha256, share_set, bytes(TAG_BYTES)
        )

    def _send(self, header: Signed) -> None:
        try:
            self._client.upload(StoredUpload(header, self._made_up.folder, len(self._made_up.sizes)))
        except ProtocolError as error:
            if error.code not in LATE:
                raise

    def _finish(self, number: int, ctx: bytes, survivors_hash: bytes) -> None:
        self._deliver(self._seal(Sign(ctx, number, survivors_hash)))
        self._client.published(number, Phase.SIGNED)
        sealed = self._draws.bytes(len(self._study.roster.silos) * SHARE_BYTES + SEAL_TAG_BYTES)
        self._deliver(self._seal(Unmask(ctx, number, self._index, survivors_hash, sealed)))
        self._client.published(number, Phase.UNMASKED)
        close = Close(
            ctx=ctx,
            round_number=number,
            survivors_hash=survivors_hash,
            chain=protocol_hash("chain", ctx),
            sum_mac=protocol_hash("sum", ctx),
            state_mac=protocol_hash("state", ctx),
            ledger_size=5 * number,
            ledger_root=self._draws.bytes(32),
            witnessed=self._heads(number, [silo for silo in self._everyone if silo != self._index]),
        )
        self._deliver(self._seal(close))
        self._client.published(number, Phase.CLOSED)

    def _heads(self, number: int, silos: Iterable[int]) -> tuple[LedgerHead, ...]:
        return tuple(LedgerHead(silo, 5 * number, self._draws.bytes(32)) for silo in silos)

    def _seal(self, body: bodies.Body) -> Signed:
        return bodies.seal(body, self._identity.member.name, self._identity.keys.identity)

    def _deliver(self, message: Signed) -> None:
        try:
            self._client.submit(message)
        except ProtocolError as error:
            if error.code not in LATE:
                raise

    # ---- what it gets

    def _checked(self, messages: tuple[Signed, ...], share_set: bytes) -> Survivors:
        key = bytes.fromhex(self._study.roster.aggregator.identity)
        survivors = bodies.open_signed(messages[0], Survivors, key)
        hashes = {self._study.roster.index(one.signer): protocol_hash("header", one.body) for one in messages[1:]}
        if dict(survivors.members) != hashes or self._index not in hashes or survivors.share_set != share_set:
            raise RuntimeError("the survivors are not those whose headers are shown")
        return survivors

    def _download(self, number: int, survivors: Survivors) -> None:
        folder = self._moving / "sum"
        self._client.sum_frames(number, folder, len(survivors.sum_frame_sha256))
        for index, digest in enumerate(survivors.sum_frame_sha256):
            if hashlib.sha256((folder / f"frame-{index}").read_bytes()).digest() != digest:
                raise RuntimeError("a frame of the sum is not what was signed")

    def _audit(self, number: int, messages: tuple[Signed, ...]) -> None:
        """Fetch the study's number of random frames of every survivor, as a silo does."""
        count = len(self._made_up.sizes)
        chosen = self._draws.choice(count, min(self._study.aggregation.audit_frames, count), replace=False)
        for message in messages[1:]:
            silo = self._study.roster.index(message.signer)
            key = bytes.fromhex(self._study.roster.silos[silo - 1].identity)
            header = bodies.open_signed(message, UploadHeader, key)
            for frame in map(int, chosen):
                data = self._client.upload_frame(number, silo, frame)
                if hashlib.sha256(data).digest() != header.frame_sha256[frame]:
                    raise RuntimeError("an audited frame is not what its silo signed")

    def _say(self, number: int, step: str, **more: int) -> None:
        say({"silo": self._index, "round": number, "step": step, "at": time.monotonic(), **more})


_line = threading.Lock()


def say(what: dict[str, object]) -> None:
    """One line to whoever started us."""
    with _line:
        print(json.dumps(what), flush=True)


def main() -> None:
    """Parse, make the uploads and their sum, take part."""
    parser = argparse.ArgumentParser(description="Silos without patients.")
    parser.add_argument("folder", type=Path, help="where the state directories are")
    parser.add_argument("moving", type=Path)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--aggregator", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    silos = []
    total = np.zeros(0, np.uint64)
    for index in range(arguments.first, arguments.last + 1):
        identity = Identity.load(arguments.folder / f"silo-{index:02d}" / "identity")
        signed = study.load_signed(arguments.study, identity.study_key)
        params, length = CiphertextParams.for_study(signed.encryption, len(signed.roster.silos)), signed.upload_length
        if not total.size:
            total = np.zeros((params.ciphertexts(length), len(params.primes), params.degree), np.uint64)
        draws = np.random.default_rng([arguments.seed, index])
        moving = arguments.moving / f"silo-{index:02d}"
        made_up = MadeUp(moving / "upload", params, length, draws, total)
        silos.append(Silo(signed, identity, moving, made_up, arguments.aggregator, draws))
    np.save(arguments.moving / f"sum-{arguments.first}.npy", total)
    del total
    say({"step": "ready", "at": time.monotonic()})
    with ThreadPoolExecutor(len(silos)) as pool:
        for line in sys.stdin:
            for _ in pool.map(lambda silo, number=int(line): _told(silo, number), silos):
                pass
    for silo in silos:
        silo.close()


def _told(silo: Silo, number: int) -> None:
    """Take part, and tell at once if that fails: the others would wait."""
    try:
        silo.take_part(number)
    except (CollegiumError, RuntimeError, RoundEnded) as error:
        say({"round": number, "step": "failed", "why": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
