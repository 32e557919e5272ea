"""M0 over the network: ask for the epoch's key, or, as its steward, make it and grant it.

The material is stored 0600 in the study's folder before it is used, so that a restarted silo keeps
it; a second key in the same epoch is refused as an incident.
"""

from dataclasses import dataclass

from privacy import durable
from privacy.channel.envelope import Signed
from privacy.channel.identity import Identity
from privacy.digest import Json
from privacy.he.keyholder import KeyHolder
from privacy.he.params import CiphertextParams
from privacy.ledger.store import Ledger
from privacy.secagg import keygrant
from privacy.secagg.hybrid import HybridKey
from privacy.secagg.keygrant import Epoch, KeyMaterial
from privacy.study import Study
from privacy.wire import bodies
from privacy.wire.messages import KeyAnnounce, KeyGrant, KeyRequest, Phase
from silo_node.client import AggregatorClient
from silo_node.state import StudyDirectory


@dataclass
class KeyEpoch:
    """A silo's part in the key exchange of one epoch."""

    study: Study
    params: CiphertextParams
    identity: Identity
    client: AggregatorClient
    folder: StudyDirectory
    ledger: Ledger

    def __post_init__(self) -> None:
        self._epoch = Epoch.of(self.study)
        self._index = self.study.roster.index(self.identity.member.name)

    def obtain(self) -> KeyMaterial:
        """The epoch's key material: stored, made (steward) or asked for.

        Raises:
            ProtocolError: a grant that is not in order; `protocol.key_equivocation` is also an incident.
        """
        if self.folder.key_file.exists():
            material = KeyMaterial.from_bytes(self.folder.key_file.read_bytes())
            self._record(material)  # stopped between the file and the ledger
        elif self._index == self._epoch.steward:
            material = KeyMaterial.generate(KeyHolder.generate(self.params).secret())
            self._keep(material)
        else:
            material = self._ask()
            self._keep(material)
        if self._index == self._epoch.steward:
            while len(self._granted()) < len(self.study.roster.silos) - 1:
                self.client.wait(0, Phase.KEYS_REQUESTED)
                self.grant_open_requests(material)
        return material

    def grant_open_requests(self, material: KeyMaterial) -> None:
        """As the steward, answer every request that has no grant yet."""
        if self._index != self._epoch.steward:
            return
        announced = keygrant.announce(self._epoch, self._index, material)
        announcement = bodies.seal(announced, self.identity.member.name, self.identity.keys.identity)
        for message in self.client.board(0, Phase.KEYS_REQUESTED).messages:
            requester, requested = self._opened(message, KeyRequest)
            granted = keygrant.grant(
                self._epoch, self._index, material, announcement, announced, requested, message.body, requester
            )
            self.client.submit(bodies.seal(granted, self.identity.member.name, self.identity.keys.identity))

    def _ask(self) -> KeyMaterial:
        key = HybridKey.generate()
        request = bodies.seal(
            keygrant.request(self._epoch, self._index, key), self.identity.member.name, self.identity.keys.identity
        )
        self.client.submit(request)
        while True:
            for message in self.client.wait(0, Phase.KEYS_GRANTED).messages:
                giver, granted = self._opened(message, KeyGrant)
                if granted.receiver == self._index and granted.request_hash == keygrant.hash_request(request.body):
                    announcer, announced = self._opened(granted.announce, KeyAnnounce)
                    return keygrant.open_grant(
                        self._epoch, self._index, key, request.body, granted, giver, announced, announcer, None
                    )

    def _granted(self) -> tuple[Signed, ...]:
        return self.client.board(0, Phase.KEYS_GRANTED).messages

    def _opened(self, message: Signed, kind: type[bodies.BodyT]) -> tuple[int, bodies.BodyT]:
        index = self.study.roster.index(message.signer)
        return index, bodies.open_signed(message, kind, bytes.fromhex(self.study.roster.silos[index - 1].identity))

    def _keep(self, material: KeyMaterial) -> None:
        durable.write(self.folder.key_file, material.to_bytes())
        self._record(material)

    def _record(self, material: KeyMaterial) -> None:
        """The ledger knows the epoch's key, once."""
        body: dict[str, Json] = {
            "study_digest": self.study.digest().hex(),
            "epoch": self._epoch.number,
            "key_id": material.key_id.hex(),
        }
        if not any(entry.kind == "key_granted" and entry.body == body for entry in self.ledger.entries):
            self.ledger.append("key_granted", body)
