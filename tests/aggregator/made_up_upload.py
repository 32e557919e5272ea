"""Uploads of random words, for an aggregator that cannot tell them from others."""

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from privacy.channel.envelope import Signed
from privacy.he import frames
from privacy.he.params import SEED_BYTES
from privacy.wire import convert
from privacy.wire.messages import UploadHeader
from privacy.wire.requests import Phase, Piece
from privacy.wire.sets import share_set_digest
from tests.aggregator.members import context

if TYPE_CHECKING:
    from tests.aggregator.hub import Hub


@dataclass(frozen=True)
class MadeUpUpload:
    """An upload of random words, or what a test made of one."""

    header: UploadHeader
    frames: tuple[bytes, ...]
    seeds: bytes

    @classmethod
    def random(cls, hub: "Hub", silo: int, number: int = 1, length: int = 0, seed: int = 0) -> "MadeUpUpload":
        generator = np.random.default_rng([silo, number, seed])
        params = hub.params
        counts = params.frame_ciphertexts(length or hub.members.study.upload_length)
        made = []
        for count in counts:
            words = generator.integers(0, params.primes[0], (count, 1, params.degree), np.uint64)
            made.append(frames.encode(words, params))
        return cls.of(hub, silo, number, tuple(made), generator.bytes(SEED_BYTES * sum(counts)))

    @classmethod
    def of(cls, hub: "Hub", silo: int, number: int, made: tuple[bytes, ...], seeds: bytes) -> "MadeUpUpload":
        shared = hub.board(number, Phase.SHARED).messages
        header = UploadHeader(
            ctx=context(number),
            round_number=number,
            silo_index=silo,
            frame_bytes=tuple(len(frame) for frame in made),
            frame_sha256=tuple(hashlib.sha256(frame).digest() for frame in made),
            seeds_sha256=hashlib.sha256(seeds).digest(),
            share_set=share_set_digest(shared) if shared else b"",
        )
        return cls(header, made, seeds)

    def with_header(self, **changes: object) -> "MadeUpUpload":
        return replace(self, header=replace(self.header, **changes))  # type: ignore[arg-type]

    def parts(self, signed: Signed) -> list[bytes]:
        return [
            convert.encode_header_part(signed),
            *(convert.encode_piece(Piece(number, data)) for number, data in enumerate((self.seeds, *self.frames))),
        ]
