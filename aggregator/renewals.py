"""New certificates of silos: requests out to the consortium, answers back, and the old key refused from then on.

The CA's key is offline, so nothing is signed here: a request waits as a file in `renewals/pending/` until the operator
carries it to the consortium, and its answer is put into `renewals/answers/`, both under the silo's name. Nobody sees a
file come: a new request is told of once, and `waiting` says for whom one lies there. The silo checks the answer itself.
Once a silo has called with a newer certificate, an older one is refused, for good.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field, ValidationError

from privacy import durable
from privacy.channel import certificate as profile
from privacy.channel.admission import Admission, Request, check_request
from privacy.channel.files import publish
from privacy.channel.member import Member, Role
from privacy.configuration import Strict, load
from privacy.errors import CollegiumError, IdentityError, ProtocolError
from privacy.roster import Hex32
from privacy.study import Study
from privacy.wire.renewals import RenewRequest

FOLDER, PENDING, ANSWERS = "renewals", "pending", "answers"
"""Of the state directory: the folder, and where in it requests and answers lie."""


class Seen(Strict):
    """The newest certificate of a silo; `since` is when it begins, in seconds since 1970."""

    since: int
    fingerprint: Hex32


class Newest(Strict):
    """`certificates.json`: the newest certificate that each silo has called with, by its name."""

    format: Literal["collegium-certificates/1"] = "collegium-certificates/1"
    silos: dict[str, Seen] = Field(default_factory=dict)


@dataclass(frozen=True)
class Waiting:
    """A silo that asked for a new certificate, `since` when; `answered`: its answer lies there for its next call."""

    silo: str
    since: datetime
    answered: bool

    def mend(self) -> str:
        """What the operator does about it, in the words that `status` and `doctor` share."""
        if self.answered:
            return "answered: the silo takes it up by itself within the hour while it runs"
        return (
            f"carry {FOLDER}/{PENDING}/{self.silo}.json to the consortium's machine, run 'collegium-consortium renew "
            f"silo {self.silo} --request {self.silo}.json' there, and put what it writes at "
            f"{FOLDER}/{ANSWERS}/{self.silo}.json"
        )


def waiting(state: Path) -> tuple[Waiting, ...]:
    """The silos that wait for a new certificate, by the files in a state directory. Disturbs nobody."""
    found = []
    for path in sorted((state / FOLDER / PENDING).glob("*.json")):
        try:
            since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:  # it was taken up meanwhile
            continue
        found.append(Waiting(path.stem, since, _answered(path, state / FOLDER / ANSWERS / path.name)))
    return tuple(found)


class Renewals:
    """The requests and answers of one study's silos, in one folder. Thread-safe.

    Args:
        folder: `renewals/` of the state directory.
        study: the verified study.
        tell: is given the name of a silo whose request is new: a person has to answer it.
    """

    def __init__(self, folder: Path, study: Study, tell: Callable[[str], None] = lambda silo: None) -> None:
        self._folder, self._study, self._tell = folder, study, tell
        self._file = folder / "certificates.json"
        self._lock = threading.Lock()
        self._newest = load(self._file, Newest).silos if self._file.exists() else {}

    def answer(self, peer: str, asked: RenewRequest) -> bytes:
        """Keep the request of a silo, and return the consortium's answer to it: empty as long as there is none.

        Raises:
            ProtocolError: another study, or not a request of this silo.
            IdentityError: not signed with its identity key, or with an unusable CSR.
            StorageError: the disk refused.
        """
        silo = self._study.roster.silos[self._study.roster.index(peer) - 1]
        request = _parsed(asked.request)
        member = Member(self._study.consortium, Role.SILO, peer)
        if asked.study_digest != self._study.digest() or request.member != member:
            raise ProtocolError("a request for renewal is of another study or silo", code="renewal.foreign")
        if request.identity_key != silo.identity:
            raise IdentityError(
                "a certificate is renewed under the identity key of the roster", code="identity.other_key"
            )
        key = check_request(request)
        pending, answer = (self._folder / kind / f"{peer}.json" for kind in (PENDING, ANSWERS))
        with self._lock:
            if answer.exists() and _certifies(answer, key):
                pending.unlink(missing_ok=True)
                return answer.read_bytes()
            if not pending.exists() or pending.read_bytes() != asked.request:
                for path in (pending, answer):
                    durable.make_folder(path.parent)
                publish(pending, asked.request)
                self._tell(peer)
        return b""

    def check(self, member: Member, certificate: x509.Certificate) -> None:
        """Refuse a certificate that its silo has replaced by a newer one.

        Raises:
            IdentityError: `identity.superseded`.
            StorageError: the disk refused; the newer one is taken note of at the next call.
        """
        seen = Seen(
            since=int(certificate.not_valid_before_utc.timestamp()), fingerprint=profile.fingerprint_of(certificate)
        )
        with self._lock:
            known = self._newest.get(member.name)
            if known == seen:
                return
            if known is not None and seen.since <= known.since:
                raise IdentityError(
                    f"silo '{member.name}' has a newer certificate than this one; restore its newest identity folder,"
                    " or have the consortium renew it again",
                    code="identity.superseded",
                )
            durable.make_folder(self._folder)
            newest = {**self._newest, member.name: seen}
            durable.write(self._file, Newest(silos=newest).model_dump_json().encode())
            self._newest = newest


def _parsed(data: bytes) -> Request:
    try:
        return Request.model_validate_json(data)
    except ValidationError as error:
        raise ProtocolError("a request for renewal is malformed", code="protocol.malformed") from error


def _answered(pending: Path, answer: Path) -> bool:
    """Whether an answer lies there that is for this request; one of the year before is not, nor what is damaged."""
    try:
        return answer.exists() and _certifies(answer, check_request(load(pending, Request)))
    except CollegiumError:
        return False


def _certifies(answer: Path, key: ec.EllipticCurvePublicKey) -> bool:
    admission = load(answer, Admission)
    return profile.parse(admission.certificate.encode(), answer.name).public_key() == key
