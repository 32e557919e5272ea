"""`collegium-aggregator`: enrol, then serve one study.

The composition root: everything is built here and handed down. State directory: identity/, ledger/,
studies/<name>/, aggregator.yaml, roster-statement.json, newest-roster-statement.json, lock.
"""

import signal
import sys
import time
from concurrent import futures
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import grpc
import typer

from aggregator import PACKAGES, enrolment
from aggregator.allocator import few_arenas
from aggregator.boards.head_board import HeadBoard
from aggregator.configuration import AggregatorConfig
from aggregator.operations.backup import backup
from aggregator.operations.doctor import doctor
from aggregator.operations.live_status import LiveStatus
from aggregator.operations.metrics import Watched
from aggregator.operations.readiness import Readiness
from aggregator.operations.refusals import Refusals
from aggregator.operations.status import status
from aggregator.records import Records
from aggregator.renewals import FOLDER, Renewals
from aggregator.roster_file import STATEMENT_FILE, RosterFile
from aggregator.rounds.coordinator import Coordinator
from aggregator.serving import health, one_way_port
from aggregator.serving.health import Health
from aggregator.serving.one_way_port import OneWayPort
from aggregator.serving.service import METHODS, Service
from aggregator.storage.backup import note_restored
from aggregator.storage.store import StudyStore
from privacy import console, study
from privacy.channel import tls
from privacy.channel.authorisation import Authorisation, check_complete, on_roster
from privacy.channel.cosigning_key import cosigning_keys
from privacy.channel.identity import Identity
from privacy.channel.limits import Limits, threads_for
from privacy.channel.member import Member
from privacy.channel.statement_memory import StatementMemory
from privacy.channel.status import Translation
from privacy.configuration import load
from privacy.console import LogJson, WatchAt
from privacy.digest import Json
from privacy.durable import lock, storage_error
from privacy.errors import CollegiumError, StudyError
from privacy.ledger import commands
from privacy.ledger.facts import certificates, software
from privacy.ledger.store import Ledger
from privacy.operations.endpoint import Endpoint
from privacy.operations.events import SILENT, Events
from privacy.operations.live import LiveFile
from privacy.operations.logs import telling
from privacy.release.command import verifying
from privacy.study import Study
from privacy.wire import convert
from privacy.wire.health import SERVICE

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The blind adder of a Collegium study.\n\n"
    "In this order: init, enrol, serve; and backup every day. What it does: status; what is wrong: doctor.",
)
app.command()(enrolment.init)
app.command()(enrolment.enrol)
app.add_typer(commands.group("collegium-aggregator"), name="ledger")
app.command()(status)
app.command()(doctor)
app.command()(backup)
app.command("verify-release")(verifying("collegium-aggregator", PACKAGES))

STOP_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Program:
    """A built aggregator, ready to run."""

    server: grpc.Server
    coordinator: Coordinator
    store: StudyStore
    readiness: Readiness
    ledger: Ledger
    refusals: Refusals
    roster: RosterFile
    port: int
    one_way: OneWayPort | None

    def start(self) -> None:
        """Serve."""
        self.server.start()
        if self.one_way is not None:
            self.one_way.start()

    def stop(self, grace: float) -> None:
        """Serve no more; calls have so many seconds to end."""
        stopping = [self.server.stop(grace)]
        if self.one_way is not None:
            stopping.append(self.one_way.stop(grace))
        for stopped in stopping:
            stopped.wait()


def build(
    state: Path,
    identity: Identity,
    signed: Study,
    listen: str,
    statement: Path | None = None,
    events: Events = SILENT,
    one_way_listen: str | None = None,
) -> Program:
    """Put the program together. Raises what configuration, ledger, roster statement and address may raise.

    `statement` is where the operator puts roster statements; in the state directory when left out. At `one_way_listen`
    the silos are served whose proxies open TLS, and that the configuration names.
    """
    config_file = state / "aggregator.yaml"
    config = load(config_file, AggregatorConfig) if config_file.exists() else AggregatorConfig()
    one_way_port.check(config, one_way_listen, signed)
    if signed.roster.aggregator.identity != identity.keys.public_identity.hex():
        raise StudyError(
            "this study names another aggregator; serve it there, or ask the consortium to sign it for this one",
            code="study.other_aggregator",
        )
    ledger = _ledger(state / "ledger", identity)
    ledger.listen(events.incident)
    note_restored(state, ledger)
    digest = signed.digest().hex()
    if not any(e.kind == "study_published" and e.body["study_digest"] == digest for e in ledger.entries):
        ledger.append("study_published", {"study_digest": digest})
    store = StudyStore(state / "studies" / f"{signed.name}-{digest[:16]}")
    coordinator = Coordinator(signed, store, ledger, identity.keys.identity, time.monotonic, config.max_upload_bytes)
    heads = HeadBoard(
        signed,
        store,
        ledger,
        cosigning_keys(state, identity),
        Records(ledger, signed.digest(), signed.roster.epoch),
        lambda: datetime.now(UTC),
    )
    roster = RosterFile(
        statement or state / "roster-statement.json",
        StatementMemory(state / STATEMENT_FILE, signed.consortium, identity.study_key),
        signed,
        lambda: datetime.now(UTC),
        coordinator.relay,
        partial(_report, ledger, events),
    )
    roster.begin()
    listed = on_roster(signed)

    def admit(member: Member) -> None:
        listed(member)
        roster.admit(member)

    renewals, refusals = (
        Renewals(state / FOLDER, signed, lambda silo: events.say("renewal_asked", None, silo=silo)),
        Refusals(signed),
    )
    readiness = Readiness(state, lambda: coordinator.ending)
    healthy = Health(readiness.lacking, lambda: coordinator.view().halted)
    table = {**METHODS, **health.METHODS}
    check_complete(table, [convert.SERVICE, SERVICE])
    authorisation = Authorisation(signed.consortium, table, admit, known=renewals.check)
    limits = Limits(config.allowance)
    handlers = (Service(coordinator, heads, renewals).handler(), healthy.handler())
    server = grpc.server(
        futures.ThreadPoolExecutor(threads_for(len(signed.roster.silos), config.allowance)),
        interceptors=[Translation(refusals.count), authorisation, limits],
        options=tls.SERVER_OPTIONS,
    )
    server.add_generic_rpc_handlers(handlers)
    port, beside = tls.listen(server, identity, listen, state / "identity"), None
    if one_way_listen is not None:
        folder = state / "identity"
        beside = OneWayPort(
            signed,
            identity,
            config,
            one_way_listen,
            folder,
            authorisation,
            limits,
            handlers,
            ledger,
            refusals.count,
        )
    return Program(server, coordinator, store, readiness, ledger, refusals, roster, port, beside)


@app.command(
    epilog="Example: collegium-aggregator serve --state /var/lib/collegium --study study.yaml --listen 0.0.0.0:8443"
)
def serve(
    state: Annotated[Path, typer.Option(help="State directory of this aggregator.")],
    study_file: Annotated[Path, typer.Option("--study", help="The signed study.")],
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on; port 0 takes a free one.")],
    roster_statement: Annotated[
        Path | None,
        typer.Option(
            help="The consortium's newest roster statement; replace it while serving.",
            show_default="roster-statement.json in the state directory",
        ),
    ] = None,
    one_way_listen: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT for the silos that one_way_tls in aggregator.yaml names, whose proxies open TLS.",
            show_default="nowhere",
        ),
    ] = None,
    watch_at: WatchAt = None,
    log_json: LogJson = False,
    port_file: Annotated[Path | None, typer.Option(help="Write the port here once serving.")] = None,
) -> None:
    """Serve the rounds of a study until stopped (SIGTERM or Ctrl-C)."""
    few_arenas()
    events = Events(sys.stderr, "aggregator", as_json=log_json)
    with telling(events), ExitStack() as stack:
        identity = Identity.load(state / "identity")
        signed = study.load_signed(study_file, identity.study_key)
        stack.enter_context(lock(state))
        events.begin(signed.name)
        program = build(state, identity, signed, listen, roster_statement, events, one_way_listen)
        watched = LiveStatus(program.coordinator, LiveFile(state), events, program.refusals)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: program.coordinator.end())
        program.start()
        try:
            if port_file is not None:
                _tell(port_file, program.port)
            _tell_serving(program, signed, events)
            watched.start()
            if watch_at is not None:
                refused, until = program.refusals.seen, lambda: program.roster.holds_until
                seen = Watched(state, program.ledger, watched.look, refused, until)
                stack.callback(Endpoint(watch_at, seen.metrics, program.readiness.lacking).close)
            program.coordinator.work()
            events.say("stopped", program.coordinator.view().round)
        finally:
            program.coordinator.end()
            watched.stop()
            program.stop(STOP_GRACE_SECONDS)
            program.store.close()
            program.ledger.close()


def main() -> None:
    """Entry point of the command."""
    console.run(app)


def _report(ledger: Ledger, events: Events, error: CollegiumError) -> None:
    """A roster statement was not taken: the operator should know, and serving goes on."""
    ledger.append("incident", {"code": error.code, "detail": str(error)})
    events.say("warning", None, code=error.code, sentence=str(error))


def _tell_serving(program: Program, signed: Study, events: Events) -> None:
    ports: dict[str, Json] = {"port": program.port}
    if program.one_way is not None:
        ports["one_way_port"] = program.one_way.port
    events.say("serving", None, roster_code=signed.roster.code, **ports)
    if events.as_json:
        return
    print(f"serving study '{signed.name}' on port {program.port}; roster code {signed.roster.code}", flush=True)
    if program.one_way is not None:
        print(f"one-way TLS lines on port {program.one_way.port}", flush=True)


def _tell(port_file: Path, port: int) -> None:
    try:
        port_file.write_text(f"{port}\n")
    except OSError as error:
        raise storage_error(error, port_file) from error


def _ledger(folder: Path, identity: Identity) -> Ledger:
    if (folder / "origin.json").exists():
        ledger = Ledger.open(folder, identity.keys.identity)
    else:
        ledger = Ledger.create(folder, identity.member.uri, identity.keys.identity)
    try:
        member = identity.member
        certificates.enter(ledger, member.name, member.consortium, identity.certificate_fingerprint)
        software.enter(ledger, PACKAGES)
    except BaseException:
        ledger.close()
        raise
    return ledger


if __name__ == "__main__":
    main()
