"""A whole consortium in one process, one thread at a time: the real programs over a virtual network, clock and disk.

Real are the silo's agent and client and everything below them, the aggregator's composition root, service, rounds,
store and recovery, both ledgers, and every file. Made up are training, gRPC and TLS (`network`), time (`clock`), and
what `cheap` names; a power cut that loses unsynced writes is not simulated. A supervisor starts again what ended by
itself, as systemd or a person would; each silo ends with a named reason.
"""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import cast

import aggregator.app
import aggregator.renewals
import aggregator.rounds.coordinator
import aggregator.serving.service
import aggregator.storage.database
from aggregator.storage.database import Database
from privacy import durable
from privacy.channel import roster_statement
from privacy.channel.authorisation import KEY_EXCHANGE, TLS_VERSION
from privacy.errors import CollegiumError
from privacy.ledger import reader
from privacy.ledger.entry import Entry
from silo_node.rounds.global_model import GlobalModel
from tests.simulation import silo
from tests.simulation.certificates import ServerCertificate
from tests.simulation.consortium import Cast
from tests.simulation.network import Aggregator, Channel, Line, Server
from tests.simulation.operations import Cut, Expire, Fault, Join, Jump, Operation, Revoke, Slow
from tests.simulation.party import Party
from tests.simulation.scheduler import Killed, Scheduler, Task
from tests.simulation.silo import Opened, SimulatedAgent
from tests.simulation.surroundings import around

AGAIN = 30.0
"""Seconds after which a supervisor starts a program again that ended with an error."""
STARTS = 12
"""A silo that ended so often is given up."""
QUIET = 400.0
"""When nothing durable happened for so long, and nothing more will be done to anybody, nothing ever happens."""
ASKED = 100.0
"""A silo that finished is started again after so long while another has not: that one may need its key or its model."""
LONGEST = 2 * 3600.0
"""No history takes so long."""
GOES_ON = ("storage.failed", "peer.unreachable", "round.abandoned")
"""Classes of errors after which a program is started again; others need more than that."""
MENDED = ("ledger.rolled_back", "identity.expired", "identity.not_yet_valid", "roster.not_yet_valid")


class World:
    """One history. `run` plays it; `invariants` looks at what is left."""

    def __init__(self, root: Path, cast: Cast, operations: tuple[Operation, ...]) -> None:
        self.root, self.cast, self.operations = root, cast, operations
        self.scheduler = Scheduler()
        self.log: list[str] = []
        self.silos = {index: self._party(index) for index in range(1, len(cast.silos) + 1)}
        self.hub = self._party(0)
        self.certificate = ServerCertificate(cast, self.hub, self.scheduler, operations)
        self.aggregator = Aggregator()
        self.problems: list[str] = []
        self.lines = {index: self._line(index) for index in self.silos}
        self.running: dict[int, SimulatedAgent] = {}
        self.trained: list[tuple[int, int]] = []
        self.forgotten: list[tuple[int, int, set[int]]] = []
        self.opened: list[Opened] = []
        self.reasons: dict[int, list[str]] = {index: [] for index in self.silos}
        self.finished: dict[int, GlobalModel] = {}
        self.ended: set[int] = set()
        self.expired: set[int] = set()
        self.revoked: set[int] = set()
        self._training: dict[int, float] = {}
        self.worker: Task | None = None
        self.locks: dict[int, Party] = {}
        self.databases: list[Database] = []
        self._entries: dict[int, tuple[Entry, ...]] = {}

    def run(self) -> None:
        """Play the history until all silos ended or nothing can happen any more."""
        with around(self):
            self._publish_statement()
            self.certificate.begin()
            self._schedule()
            self.worker = self.scheduler.spawn("aggregator", self._serve)
            for index in self.silos:
                joins = [op.at for op in self.operations if isinstance(op, Join) and op.silo == index]
                self.scheduler.spawn(f"silo {index}", partial(self._live, index), float(max(joins, default=0)))
            try:
                self.scheduler.run(self._is_over)
            finally:
                for party in (self.hub, *self.silos.values()):
                    self._release(party)
                    incidents = [entry.body for entry in self.entries(party.number) if entry.kind == "incident"]
                    self.log += [f"{party} notes: {body['detail']} [{body['code']}]" for body in incidents]

    def entries(self, number: int) -> tuple[Entry, ...]:
        """What is in a party's ledger at the end, verified."""
        if number not in self._entries:
            folder = self.party(number).root / "ledger"
            found = tuple(reader.read(folder).entries) if (folder / "origin.json").exists() else ()
            self._entries[number] = found
        return self._entries[number]

    def party(self, number: int) -> Party:
        return self.silos[number] if number else self.hub

    # ---- what the simulated programs tell

    def round_of(self, index: int) -> int:
        """The round that a silo is in."""
        return self.running[index]._model.round_number + 1

    def training_begins(self, index: int, number: int) -> None:
        """Check the debit and let the time pass that training takes."""
        charged = {body["round"] for body in self.running[index]._records.all_of("reserved")}
        if number not in charged:
            self.problems.append(f"silo {index} reads patients for round {number} before it is charged")
        if forgotten := {before for who, before in self.trained if who == index} - charged:
            self.forgotten.append((index, number, forgotten))
        self.trained.append((index, number))
        self.scheduler.sleep(self._training.get(index, 1.0))

    def _leaves(self, index: int, method: str, data: bytes) -> None:
        """Something leaves a silo: of what was trained, nothing before it is spent."""
        if not method.endswith("Upload"):
            return
        records, number = self.running[index]._records, self.round_of(index)
        trains = number <= self.cast.study.training.rounds
        if trains and not any(body["round"] == number for body in records.all_of("spent")):
            self.problems.append(f"silo {index} sends an update of round {number} that is not spent in its ledger")

    # ---- what happens to them

    def _schedule(self) -> None:
        at = self.scheduler.at
        for op in self.operations:
            match op:
                case Slow():
                    self._training[op.silo], self.lines[op.silo].latency = float(op.training), op.milliseconds / 1000
                case Cut():
                    at(op.at, partial(setattr, self.lines[op.silo], "cut_until", float(op.at + op.seconds)))
                case Jump():
                    at(op.at, partial(setattr, self.party(op.party), "offset", timedelta(hours=op.hours)))
                case Revoke():
                    at(op.at, partial(self._revoke, op.silo))
                case Expire() if op.party:
                    at(op.at, partial(self.expired.add, op.party))
                    at(op.at + op.renewed, partial(self.expired.discard, op.party))

    def _revoke(self, index: int) -> None:
        self.revoked.add(index)
        self._publish_statement()

    def _publish_statement(self) -> None:
        (self.root / "statement.json").write_bytes(roster_statement.dump(self.cast.statement(self.revoked)))

    def _is_over(self) -> bool:
        if len(self.ended) == len(self.silos):
            return True
        if self.scheduler.now > LONGEST:
            self.problems.append("the history does not come to rest")
            return True
        moved = max(party.moved for party in (self.hub, *self.silos.values()))
        timed = [
            float(op.at + getattr(op, "seconds", 0) + getattr(op, "renewed", 0))
            for op in self.operations
            if isinstance(op, Cut | Jump | Revoke | Expire | Join)
        ]
        return self.scheduler.now > max(moved, *timed, 0.0) + QUIET

    # ---- the programs

    def _serve(self) -> None:
        party, pause = self.hub, 0.0
        while True:
            try:
                with self.scheduler.inside(party):
                    statement = self.root / "statement.json"
                    identity = self.certificate.identity()
                    program = aggregator.app.build(party.root, identity, self.cast.study, "hub:1", statement)
                    self.aggregator.process, self.aggregator.server = party, cast(Server, program.server)
                    program.coordinator.work()
                    raise RuntimeError("the aggregator's work does not end by itself")
            except Killed:
                pause = party.pause
            except CollegiumError as error:
                self.scheduler.kill(party)
                party.say(f"ended: {error} [{error.code}]")
                if error.code in ("identity.expired", "identity.not_yet_valid"):
                    pause = AGAIN
                    self.certificate.mend(error)
                elif error.default_code == "storage.failed":
                    pause = 2.0
                else:
                    self.problems.append(f"the aggregator ended with {error.code}: {error}")
                    return
            finally:
                self.aggregator.server = None
                self._release(party)
            self.scheduler.sleep(pause)
            party.start_over()

    def _live(self, index: int) -> None:
        party, reasons = self.silos[index], self.reasons[index]
        for _ in range(STARTS):
            try:
                with self.scheduler.inside(party):
                    self.finished[index] = self._program(index)
                reasons.append("finished")
                self.ended.add(index)
                self.scheduler.sleep(ASKED)
                if len(self.ended) == len(self.silos):
                    break
                pause = 0.0
            except Killed:
                reasons.append("killed")
                pause = party.pause
            except CollegiumError as error:
                reasons.append(error.code)
                party.say(f"ended: {error} [{error.code}]")
                if error.default_code not in GOES_ON and error.code not in MENDED:
                    break
                pause = AGAIN
                if error.code == "identity.not_yet_valid":
                    party.offset = timedelta()  # as a person is told to; the line is of no use before
            finally:
                self._release(party)
            if party.gone:
                reasons.append("gone")
                break
            self.scheduler.sleep(pause)
            party.start_over()
        self.ended.add(index)

    def _program(self, index: int) -> GlobalModel:
        if self.reasons[index] and self.reasons[index][-1] == "ledger.rolled_back":
            silo.recover(self, index)
        self.running[index] = silo.agent(self, index)
        return self.running[index].run()

    def _release(self, party: Party) -> None:
        """The kernel closes what a process that is gone had open and locked."""
        while party is self.hub and self.databases:
            self.databases.pop().close()
        for descriptor, owner in list(self.locks.items()):
            if owner is party:
                del self.locks[descriptor]
                if descriptor in durable._held:
                    durable.release(descriptor)

    def _party(self, number: int) -> Party:
        folder = self.root / (f"silo-{number}" if number else "aggregator")
        return Party(number, folder, self.operations, self.scheduler, self.log)

    def _line(self, index: int) -> Line:
        faults = {op.call: op for op in self.operations if isinstance(op, Fault) and op.silo == index}
        return Line(
            scheduler=self.scheduler,
            aggregator=self.aggregator,
            party=self.silos[index],
            properties=partial(self._properties, index),
            leaves=partial(self._leaves, index),
            shake_hands=lambda: self.certificate.shake_hands(self.silos[index], self.aggregator.process),
            defects=self.problems,
            faults=faults,
        )

    def channel(self, index: int) -> Channel:
        """A new line of a silo to the aggregator."""
        self.lines[index].opened = None
        return Channel(self.lines[index])

    def diagnose(self, index: int) -> CollegiumError:
        """Why a silo is not answered."""
        serving = None if self.aggregator.server is None else self.aggregator.process
        return self.certificate.diagnose(self.silos[index], serving)

    def _properties(self, index: int) -> dict[str, list[bytes]]:
        """What TLS tells the aggregator of a call."""
        identity = self.cast.silos[index - 1]
        return {
            "peer_spiffe_id": [identity.member.uri.encode()],
            "ssl_tls_version": [TLS_VERSION],
            "ssl_negotiated_key_exchange_group": [KEY_EXCHANGE],
            "x509_pem_cert": [self.cast.expired_pem if index in self.expired else self.cast.pems[index - 1]],
        }
