"""The aggregator's certificate in a history: it expires, a person renews it, and TLS looks at it when a line is opened.

Real are the certificates, which the consortium issues for the history, `enrol`, what the aggregator checks when it
starts and at each handshake, and what a silo is told when it gives up. Of TLS only the dates are left, which each
silo compares with its own clock; a line that is open outlives a certificate, up to its greatest age.
"""

import shutil
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

from deploy.consortium.authority import MEMBER_LIFE
from privacy.channel import certificate, enrolment, tls
from privacy.channel.identity import Identity
from privacy.errors import CollegiumError, IdentityError, Unreachable
from tests.simulation.clock import START
from tests.simulation.consortium import Cast
from tests.simulation.operations import Expire, Operation
from tests.simulation.party import Party
from tests.simulation.scheduler import Scheduler

OLDEST_LINE = dict(tls.SERVER_OPTIONS)["grpc.max_connection_age_ms"] / 1000
"""Seconds after which a line is opened anew."""
NOTICED = 30.0
"""Seconds after which a person has read the aggregator's log."""
Credentials = tuple[bytes, Callable[[], bytes | None]]
"""What stands for `grpc.ServerCredentials`: the certificate, and what is asked for a newer one at each handshake."""

parsed = cache(certificate.parse)


class ServerCertificate:
    """What the aggregator shows, and the person who renews it."""

    def __init__(self, cast: Cast, hub: Party, scheduler: Scheduler, operations: tuple[Operation, ...]) -> None:
        self._cast, self._hub, self._scheduler = cast, hub, scheduler
        self._expiries = [op for op in operations if isinstance(op, Expire) and op.party == 0]
        self._shown = b""
        self._newer: Callable[[], bytes | None] = lambda: None

    def begin(self) -> None:
        """The aggregator is enrolled; its certificate ends with the first expiry."""
        folder = self._cast.consortium.state(self._cast.hub.member.name) / enrolment.IDENTITY_FOLDER
        shutil.copytree(folder, self._hub.root / enrolment.IDENTITY_FOLDER)
        if self._expiries:
            self._take(-1.0)
        for op in self._expiries:
            self._scheduler.at(op.at + op.renewed, self.renew)

    def identity(self) -> Identity:
        """What a start of the aggregator loads."""
        return Identity.load(self._hub.root / enrolment.IDENTITY_FOLDER)

    def renew(self) -> None:
        """A person takes the newest certificate up, once there is one; where the clock is behind, it is set."""
        now = self._scheduler.now
        if any(op.at <= now < op.at + op.renewed for op in self._expiries):
            return
        try:
            self._take(now)
        except IdentityError as error:
            self._set_clock(error)
            self._take(now)

    def mend(self, error: CollegiumError) -> None:
        """What a person does whom the aggregator tells that its certificate does not fit its clock."""
        if error.code == "identity.expired":
            self.renew()
        else:
            self._set_clock(error)

    def _set_clock(self, error: CollegiumError) -> None:
        if self._hub.offset:
            self._hub.say(f"its clock is set: {error} [{error.code}]")
            self._hub.offset = timedelta()

    def listen(self, server: object, identity: Identity, address: str, folder: Path, **_: Any) -> int:
        """What `tls.listen` does but for the port."""
        tls.host_and_port(address)
        self._shown, self._newer = cast(Credentials, tls.server_credentials(identity, folder=folder))
        return 1

    def shake_hands(self, silo: Party, aggregator: object) -> None:
        """A silo opens a line to the aggregator that serves now.

        Raises:
            IdentityError: it does not take what it is shown.
        """
        with self._scheduler.inside(aggregator):
            self._shown = self._newer() or self._shown
        now = START + timedelta(seconds=self._scheduler.now)
        if self._hub.offset < timedelta() and self._shown != self.identity().certificate_pem:
            # Its log says that the new certificate is not used, and why.
            early = IdentityError("it is not valid yet", code="identity.not_yet_valid")
            self._scheduler.at(self._scheduler.now + NOTICED, lambda: self.mend(early))
        certificate.check_dates(parsed(self._shown, "what is shown"), now + silo.offset, "the aggregator's")

    def diagnose(self, silo: Party, aggregator: object) -> CollegiumError:
        """Why no call gets through, as `privacy.operations.handshake` says it: what expired there is waited out."""
        try:
            if aggregator is not None:
                self.shake_hands(silo, aggregator)
        except IdentityError as error:
            expired = error.code == "identity.expired"
            return Unreachable("it expired", code="peer.certificate_expired") if expired else error
        return Unreachable("the aggregator does not answer")

    def _take(self, after: float) -> None:
        """`enrol` with a certificate that ends with the next expiry after so many seconds, or in a year."""
        ends = [op.at for op in self._expiries if op.at > after]
        now = START + timedelta(seconds=self._scheduler.now)
        began = START + timedelta(seconds=min(ends)) - MEMBER_LIFE if ends else now
        enrolment.finish(self._hub.root, self._cast.admission(began), now + self._hub.offset)
