"""M0 over the network: ask for the epoch's key, or, as its steward, make it; and grant it as any holder.

Material and the steward's announcement are stored 0600 in the study's folder before they are used, so that a
restarted silo keeps them and may hand them on. The ledger remembers the epoch's key: another one is refused as an
incident, also by a silo that lost its folder; a steward that lost its key asks the others for it and never makes a
second. As long as nobody else was handed it (`alone`) nothing is to be said under it: it may still be lost for all.
"""

from dataclasses import dataclass, field

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.channel.roster_statement import EXPIRED
from privacy.digest import Json
from privacy.errors import CollegiumError, ProtocolError
from privacy.he.keyholder import KeyHolder
from privacy.he.params import CiphertextParams
from privacy.ledger.store import Ledger
from privacy.secagg import keygrant
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.keygrant import Epoch, KeyMaterial
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.keys import KeyAnnounce, KeyGrant, KeyRequest
from privacy.wire.requests import Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.roster_watch import RosterWatch
from silo_node.state import StudyDirectory

EQUIVOCATION = "protocol.key_equivocation"
OVERTAKEN = "key.foreign_grant"
"""The aggregator's answer when the request that was granted no longer stands."""


@dataclass
class KeyEpoch:
    """A silo's part in the key exchange of one epoch.

    `announce` is what the aggregator shows of the epoch's key: where a steward's folder and ledger are an old copy, its
    own signature tells it that it made one, and that another silo was handed it.
    """

    study: Study
    params: CiphertextParams
    identity: Identity
    client: AggregatorClient
    folder: StudyDirectory
    ledger: Ledger
    roster: RosterWatch
    announce: Signed | None = None
    _refused: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._epoch = Epoch.of(self.study)
        self._index = self.study.roster.index(self.identity.member.name)
        self._handed_on = self.announce is not None

    @property
    def alone(self) -> bool:
        """Whether we are the steward and, for all that we know, the only one that was ever given the epoch's key."""
        return self._index == self._epoch.steward and not self._handed_on

    def obtain(self) -> KeyMaterial:
        """The epoch's key material: stored, made (steward, once an epoch) or asked for.

        Raises:
            CollegiumError: a grant or a roster statement that is not in order, which is also an incident in the ledger.
        """
        try:
            return self._obtained()
        except CollegiumError as error:
            if error.default_code in ("protocol.violation", "identity.refused") or error.code == EXPIRED:
                self.ledger.append("incident", {"code": error.code, "detail": f"key exchange: {error}"})
            raise

    def grant_open_requests(self, material: KeyMaterial) -> bool:
        """Answer every request that has no grant yet, as any holder may; whether one was answered.

        A request that is not in order is an incident, once, and stops nobody else.
        """
        announcement = bodies.decode_signed(self.folder.announcement.read_bytes())
        _, announced = self._opened(announcement, KeyAnnounce)
        answered = False
        for message in self.client.board(0, Phase.KEYS_REQUESTED).messages:
            if message.body in self._refused or message.signer == self.identity.member.name:
                continue
            try:
                requester, requested = self._opened(message, KeyRequest)
                if requester in self.roster.known():
                    continue
                granted = keygrant.grant(
                    self._epoch, self._index, material, announcement, announced, requested, message.body, requester
                )
            except CollegiumError as error:
                self._refused.add(message.body)
                self.ledger.append("incident", {"code": error.code, "detail": f"key request: {error}"})
                continue
            answered |= self._submitted(granted)
        return answered

    def _obtained(self) -> KeyMaterial:
        known = self._known()
        if self.folder.key_file.exists() and self.folder.announcement.exists():
            material = KeyMaterial.from_bytes(self.folder.key_file.read_bytes())
            if known not in (None, material.key_id):
                raise ProtocolError(
                    "the stored key is not the one that the ledger has of this epoch; restore the right folder",
                    code=EQUIVOCATION,
                )
            self._record(material)  # also after a stop between the file and the ledger
            return material
        self.roster.before(1)  # the key is neither made nor taken before it is known who is revoked
        if self._index == self._epoch.steward and known is None:
            known = self._announced()
        if self._index == self._epoch.steward and known is None:
            material = KeyMaterial.generate(KeyHolder.generate(self.params).secret())
            announced = keygrant.announce(self._epoch, self._index, material)
            self._keep(material, bodies.seal(announced, self.identity.member.name, self.identity.keys.identity))
        else:
            material = self._ask(known)
        self._record(material)
        return material

    def _ask(self, known: bytes | None) -> KeyMaterial:
        key = HybridKey.generate()
        request = bodies.seal(
            keygrant.request(self._epoch, self._index, key), self.identity.member.name, self.identity.keys.identity
        )
        self.client.submit(request)
        while True:
            for message in self.client.wait(0, Phase.KEYS_GRANTED, (request,)).messages:
                giver, granted = self._opened(message, KeyGrant)
                if granted.receiver == self._index and granted.request_hash == keygrant.hash_request(request.body):
                    announcer, announced = self._opened(granted.announce, KeyAnnounce)
                    material = keygrant.open_grant(
                        self._epoch, self._index, key, request.body, granted, giver, announced, announcer, known
                    )
                    self._keep(material, granted.announce)
                    self._handed_on = True  # who granted it has it
                    return material

    def _submitted(self, granted: KeyGrant) -> bool:
        try:
            self.client.submit(bodies.seal(granted, self.identity.member.name, self.identity.keys.identity))
        except ProtocolError as error:
            if error.code != OVERTAKEN:
                raise
            return False
        self._handed_on = True
        return True

    def _opened(self, message: Signed, kind: type[bodies.BodyT]) -> tuple[int, bodies.BodyT]:
        index = self.study.roster.index(message.signer)
        return index, bodies.open_signed(message, kind, bytes.fromhex(self.study.roster.silos[index - 1].identity))

    def _keep(self, material: KeyMaterial, announcement: Signed) -> None:
        durable.write(self.folder.announcement, bodies.encode_signed(announcement))
        durable.write(self.folder.key_file, material.to_bytes())

    def _announced(self) -> bytes | None:
        """The key that we announced as this epoch's steward before, if it was handed on.

        Raises:
            CollegiumError: we never signed that.
        """
        if self.announce is None:
            return None
        signer, announced = self._opened(self.announce, KeyAnnounce)
        place = (signer, announced.study_digest, announced.epoch, announced.roster_digest)
        if place != (self._index, self._epoch.study_digest, self._epoch.number, self._epoch.roster_digest):
            raise ProtocolError("the aggregator shows a key of another epoch as this one's", code="witness.forged")
        return announced.key_id

    def _known(self) -> bytes | None:
        """The identifier of the epoch's key as the ledger has it."""
        place = (self.study.digest().hex(), self._epoch.number)
        for entry in self.ledger.entries:
            if entry.kind == "key_granted" and (entry.body["study_digest"], entry.body["epoch"]) == place:
                return bytes.fromhex(str(entry.body["key_id"]))
        return None

    def _record(self, material: KeyMaterial) -> None:
        """The ledger knows the epoch's key, once."""
        if self._known() is None:
            body: dict[str, Json] = {
                "study_digest": self.study.digest().hex(),
                "epoch": self._epoch.number,
                "key_id": material.key_id.hex(),
            }
            self.ledger.append("key_granted", body)
