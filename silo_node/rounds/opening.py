"""From the published survivors to the opened sum, for one round at one silo.

    survivors, MAC and audit checked -> signed (ledger) -> shares for exactly these survivors chosen, the others
    erased -> shares sent -> the masks that are left recovered -> opened
                                                               or: found not to open it (ledger), said, and ended

Nothing is opened, and no share leaves, before every check has passed. A refused sum halts the study durably, with
one code whatever was wrong. A second survivor list for a round is refused, and a second sum is never fetched.
"""

from dataclasses import dataclass
from typing import NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from privacy.digest import protocol_hash
from privacy.errors import CollegiumError, ProtocolError
from privacy.he.keyholder import KeyHolder
from privacy.randomness import SecureStream
from privacy.secagg import unmask, unopenable
from privacy.secagg.closing import DIFFERS
from privacy.secagg.findings import REFUSED
from privacy.secagg.mac import RoundMac
from privacy.secagg.masked import open_sum
from privacy.secagg.place import Place
from privacy.secagg.share_set import ShareSet
from privacy.secagg.survivors import (
    CheckedSurvivors,
    VerifiedSum,
    check_signs,
    check_sum,
    check_survivors,
)
from privacy.study import Study
from privacy.wire.messages import Reject, Sign, Unopenable
from privacy.wire.requests import Board, Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds import audit_choice
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.round_vault import RoundVault
from silo_node.rounds.standing import Standing
from silo_node.rounds.stored_upload import StoredUpload

GIVEN_UP = "unopenable"
"""The ledger's entry of a round that this silo could not open."""
OVERTAKEN = ("sum.not_published", "sum.gone", "survivors.unknown", "round.not_open")
"""Answers of the aggregator to a silo whose round was abandoned, or forgotten, while it was still at work."""


@dataclass(frozen=True)
class Opening:
    """One round's sum at one silo.

    `length` is the number of integers in an upload, `processes` the workers at most.
    """

    study: Study
    place: Place
    standing: Standing
    records: RoundRecords
    client: AggregatorClient
    vault: RoundVault
    mac: RoundMac
    keyholder: KeyHolder
    group_secret: bytes
    stream: SecureStream
    length: int
    processes: int

    def accept(self, board: Board, upload: StoredUpload | None, share_set: ShareSet) -> VerifiedSum:
        """Check the published survivors and their sum, sign them, and wait until t silos signed the same.

        Args:
            board: what the aggregator published, at SURVIVORS.
            upload: our own, if we made one for the round.
            share_set: the checked U2.

        Raises:
            RoundEnded: the round was abandoned meanwhile.
            ProtocolError: a check failed; if its code is `sum.refused` the study is halted here.
        """
        try:
            checked = self._check(board, upload, share_set)
            verified = self._verify(checked)
            self._sign(checked)
            check_signs(self.client.published(self._number, Phase.SIGNED).messages, self.study, checked)
        except ProtocolError as error:
            if error.code == REFUSED:
                messages = board.messages
                self._halt(protocol_hash("survivors", messages[0].body) if messages else b"")
            raise
        return verified

    def reveal(self, checked: CheckedSurvivors) -> None:
        """Choose the shares for exactly these survivors, forget the others, and only then send them."""
        message = self.vault.message("unmask")
        if message is None and self.place.silo in checked.members:
            held = self.vault.held()
            if held is None:
                return
            revealed = held.reveal(checked.members)
            body = unmask.build(self.place, self.group_secret, checked.survivors_hash, revealed)
            message = self.standing.seal(body)
            self.vault.keep_message("unmask", message)
        if message is not None:
            self.vault.forget_held()  # here, as a stop may have come between what is stored and what is erased
            try:
                self.client.submit(message)
            except ProtocolError as error:
                if error.code != "unmask.unexpected":
                    raise

    def open(self, share_set: ShareSet, verified: VerifiedSum) -> NDArray[np.int64]:
        """The exact sums, int64 (length,), once the UnmaskSet is published.

        Raises:
            RoundEnded: the round was abandoned meanwhile, perhaps as t silos could not open it.
            ProtocolError: it cannot be a sum of uploads, or others opened it and we cannot: the study is halted.
        """
        checked = verified.checked
        messages = self.client.published(self._number, Phase.UNMASKED).messages
        if self.records.has(GIVEN_UP, self._number):
            self._give_up(self._given_up())
        try:
            recovered = unmask.recover(
                self.place,
                self.group_secret,
                share_set,
                checked.members,
                checked.survivors_hash,
                messages,
                self.processes,
            )
        except ProtocolError as error:
            if error.code not in unopenable.FINDINGS:
                raise
            self._give_up(unopenable.found(self.place, checked.survivors_hash, messages, error))
        for index, code in recovered.faults.items():
            self.records.incident(code, f"round {self._number}: silo {index} revealed unusable shares")
        try:
            return open_sum(
                self.keyholder, verified.frame_of, recovered.keys, checked.seeds, self.length, self.processes
            )
        except ProtocolError as error:
            self._halt(checked.survivors_hash)
            raise ProtocolError("the sum cannot be one of the silos' uploads", code=REFUSED) from error

    def _give_up(self, body: Unopenable) -> NoReturn:
        """Say that the sum cannot be opened, once and for ever, and wait for how the round ends.

        Raises:
            RoundEnded: it was abandoned; whether rightly is for the caller to check.
            ProtocolError: `close.differs`: others opened it, which halts the study here.
        """
        if not self.records.has(GIVEN_UP, self._number):
            self.records.add(
                GIVEN_UP,
                self._number,
                survivors=body.survivors_hash.hex(),
                unmask_set=body.unmask_set.hex(),
                culprit=body.culprit,
                code=body.code,
            )
        try:
            self.client.submit(self.standing.seal(body))
        except ProtocolError as error:
            if error.code != "unopenable.unexpected":
                raise
        self.client.published(self._number, Phase.CLOSED)
        self.standing.halt(self._number)
        raise ProtocolError("others opened a round that this silo could not open", code=DIFFERS)

    def _given_up(self) -> Unopenable:
        """What this silo said before a restart: the same bytes, whatever it is shown now."""
        (said,) = self.records.of(GIVEN_UP, self._number)
        survivors, unmask_set = (bytes.fromhex(str(said[name])) for name in ("survivors", "unmask_set"))
        culprit, code = cast(int, said["culprit"]), str(said["code"])
        return Unopenable(self.place.ctx, self._number, survivors, unmask_set, culprit, code)

    @property
    def _number(self) -> int:
        return self.place.round_number

    def _check(self, board: Board, upload: StoredUpload | None, share_set: ShareSet) -> CheckedSurvivors:
        checked = check_survivors(
            board.messages,
            board.seeds,
            study=self.study,
            params=self.keyholder.params,
            length=self.length,
            ctx=self.place.ctx,
            share_set=share_set,
        )
        headers = board.messages[1 : 1 + len(checked.members)]
        own = [header for header in headers if header.signer == self.standing.name]
        if upload is not None and any(header != upload.header for header in own):
            raise ProtocolError("our own header in the survivor list is not the one we sent", code=REFUSED)
        if upload is not None and self.place.silo not in checked.members:
            self.records.incident("round.omitted", f"round {self._number}: our upload is not in the sum")
        return checked

    def _verify(self, checked: CheckedSurvivors) -> VerifiedSum:
        """Download the sum; check digests and MAC, and add up a few random frames of the uploads ourselves."""
        frame_count = len(checked.survivors.sum_frame_bytes)
        audited = audit_choice.draw(
            self.standing.folder.audit_file,
            self.place.ctx,
            checked.survivors_hash,
            frame_count,
            self.study.aggregation.audit_frames,
            self.stream,
        )
        self.client.sum_frames(self._number, self.standing.folder.sum, frame_count)
        params = self.keyholder.params
        return check_sum(
            checked, self._sum_frame, self._upload_frame, audited, self.mac, params, self.length, self.processes
        )

    def _sum_frame(self, index: int) -> bytes:
        """A frame of the sum; one that was not served is empty, and refused like any other wrong one."""
        path = self.standing.folder.sum / f"frame-{index}"
        return path.read_bytes() if path.exists() else b""

    def _upload_frame(self, silo: int, frame: int) -> bytes:
        """A frame of an upload; one that is not served is empty, unless the round may have ended meanwhile."""
        try:
            return self.client.upload_frame(self._number, silo, frame)
        except ProtocolError as error:
            if error.code in OVERTAKEN:
                raise
            return b""

    def _sign(self, checked: CheckedSurvivors) -> None:
        """Sign H(S): once a round, ever; the ledger remembers which."""
        before = [body["survivors"] for body in self.records.of("survivors_signed", self._number)]
        if before and before != [checked.survivors_hash.hex()]:
            raise ProtocolError("the aggregator shows a second survivor list for the round", code=REFUSED)
        if self.place.silo in checked.members:
            if not before:
                self.records.add("survivors_signed", self._number, survivors=checked.survivors_hash.hex())
            self.client.submit(self.standing.seal(Sign(self.place.ctx, self._number, checked.survivors_hash)))

    def _halt(self, survivors_hash: bytes) -> None:
        """Halt the study, durably, and tell the aggregator of a refused sum; the caller raises."""
        self.standing.halt(self._number)
        try:
            self.client.submit(self.standing.seal(Reject(self.place.ctx, self._number, survivors_hash, REFUSED)))
        except CollegiumError as refusal:
            self.records.incident(refusal.code, "the refusal could not be delivered")
