"""Uploads of the open round while they arrive: sizes, digests and words of every piece, and what is there already.

A silo's first header is final, and fixes the digest of every piece. So a piece that matched is as final, whichever
stream brought it, and it is stored durably before the next is looked at: a stream that broke, or an aggregator that was
stopped, costs the piece on its way and no more. Every size follows from the signed study and is compared before
anything is allocated or stored; on disk there is at most one upload a silo. Which uploads a round takes is for
`aggregator.rounds.transitions`.
"""

import hashlib
import threading

from aggregator.rounds.states import Upload
from aggregator.storage.store import Incoming, StudyStore
from privacy.channel.envelope import Signed
from privacy.errors import ConfigError, ProtocolError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import UploadHeader
from privacy.wire.requests import Piece


class Arriving:
    """One upload while it arrives. Thread-safe: several streams of one silo may bring its pieces."""

    def __init__(self, upload: Upload, place: Incoming, params: CiphertextParams, sizes: tuple[int, ...]) -> None:
        self.upload = upload
        self._place, self._params, self._sizes = place, params, sizes
        self._digests = (upload.header.seeds_sha256, *upload.header.frame_sha256)
        self._lock = threading.Lock()
        self._stored = 0
        self._over = False
        while self._stored < len(sizes) and place.has(self._stored):
            self._stored += 1

    @property
    def stored(self) -> int:
        """Pieces that are stored, from the first on."""
        with self._lock:
            return self._stored

    def take(self, piece: Piece) -> None:
        """Check and store a piece; durable when this returns. One that is there already changes nothing.

        Raises:
            ProtocolError: not what the header says, no ciphertext, a piece before it is missing, or the upload is over.
        """
        with self._lock:
            self._check_open()
            if piece.number > self._stored or piece.number >= len(self._sizes):
                raise ProtocolError("the parts of the upload are out of order, or too many", code="upload.order")
            if piece.number < self._stored:
                return
            self._check(piece)
            self._place.put(piece.number, piece.data)
            self._stored += 1

    def commit(self) -> None:
        """Make it part of the round.

        Raises:
            ProtocolError: pieces are missing, or the upload is over.
            StorageError: the disk refused.
        """
        with self._lock:
            self._check_open()
            if self._stored < len(self._sizes):
                raise ProtocolError("the upload ended before its last frame; send the rest", code="upload.torn")
            self._place.commit()
            self._over = True

    def end(self) -> None:
        """Take no more of it: when this returns nothing is being written, nor will be."""
        with self._lock:
            self._over = True

    def _check_open(self) -> None:
        if self._over:
            raise ProtocolError("this round takes no more of this upload", code="upload.late")

    def _check(self, piece: Piece) -> None:
        if len(piece.data) != self._sizes[piece.number]:
            raise ProtocolError("a part of the upload has another length than the study says", code="upload.length")
        if hashlib.sha256(piece.data).digest() != self._digests[piece.number]:
            raise ProtocolError("a part of the upload is not what its header says", code="upload.digest")
        if piece.number:
            frames.decode(piece.data, len(piece.data) // self._params.ciphertext_bytes, self._params)


class Arrivals:
    """All uploads that arrive for the open round of a study. Thread-safe only under its owner's lock.

    Args:
        study: the signed study, which fixes the size of every upload.
        params: its ciphertext parameters.
        store: where uploads arrive.
        max_upload_bytes: the most that this machine takes of one silo in one round.

    Raises:
        StudyError: the study does not say how long an upload is.
        ConfigError: its uploads are larger than this machine takes.
    """

    def __init__(self, study: Study, params: CiphertextParams, store: StudyStore, max_upload_bytes: int) -> None:
        length = study.upload_length
        if params.upload_bytes(length) > max_upload_bytes:
            raise ConfigError(
                f"an upload of this study has {params.upload_bytes(length):,} bytes, more than this aggregator takes; "
                "raise max_upload_bytes in aggregator.yaml, and see that the disk has room for one of every silo",
                code="config.max_upload_bytes",
            )
        self._params, self._store = params, store
        self._sizes = (params.seed_bytes(length), *params.frame_sizes(length))
        self._arriving: dict[int, Arriving] = {}

    def opened(self, message: Signed, public_key: bytes) -> Upload:
        """Verify a header and compare the sizes that it gives with the study's.

        Raises:
            IdentityError: not signed with that key.
            ProtocolError: malformed, or of another shape.
        """
        header = bodies.open_signed(message, UploadHeader, public_key)
        if header.frame_bytes != self._sizes[1:]:
            raise ProtocolError("the upload's frames are not those of the study", code="upload.shape")
        return Upload(message, header)

    def begin(self, upload: Upload) -> Arriving:
        """Take up an upload whose header is acceptable, where it stopped; its header is durable when this returns."""
        index = upload.header.silo_index
        arriving = self._arriving.get(index)
        if arriving is None or arriving.upload != upload:
            place = self._store.round(upload.header.round_number).incoming(index, upload.signed)
            arriving = self._arriving[index] = Arriving(upload, place, self._params, self._sizes)
        return arriving

    def end(self, round_number: int) -> None:
        """Erase what is incomplete: the round takes no more uploads."""
        for arriving in self._arriving.values():
            arriving.end()
        self._arriving.clear()
        self._store.round(round_number).clear_arriving()
