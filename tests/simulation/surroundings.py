"""What the real programs meet in the simulation in the place of time, threads, gRPC, TLS and the disk's answers.

`cheap` saves what takes time there. Who is played, and what happens to them, is for `world`.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

import aggregator.app
import aggregator.renewals
import aggregator.rounds.coordinator
import aggregator.serving.service
import aggregator.storage.database
import privacy.channel.authorisation
import privacy.channel.identity
import privacy.ledger.store
import silo_node.connection.client
import silo_node.connection.patience
import silo_node.egress.channel
import silo_node.rounds.agent
import silo_node.rounds.roster_watch
import silo_node.witnessing.cosigning
from aggregator.storage.database import Database, Step
from privacy import durable
from privacy.channel import tls
from silo_node.rounds.upload_slot import UploadSlot
from tests.simulation import cheap
from tests.simulation.clock import VirtualTime, virtual_datetime
from tests.simulation.network import Server
from tests.simulation.party import Party
from tests.simulation.scheduler import Condition

if TYPE_CHECKING:
    from tests.simulation.world import World


@contextmanager
def around(world: "World") -> Iterator[None]:
    """Time, threads, network and disk are the simulation's."""
    scheduler = world.scheduler
    time = VirtualTime(lambda: scheduler.now, scheduler.sleep)
    moment = virtual_datetime(
        lambda: scheduler.now, lambda: cast(Party, scheduler.acting).offset if scheduler.acting else timedelta()
    )
    hold, conditions = durable.hold, list[Condition]()

    def condition() -> Condition:
        conditions.append(Condition(scheduler))
        return conditions[-1]

    def holding(descriptor: int) -> None:
        hold(descriptor)
        world.locks[descriptor] = cast(Party, scheduler.acting)

    def fsync(descriptor: int) -> None:
        if scheduler.acting is not None:
            cast(Party, scheduler.acting).fsync(descriptor)
            if scheduler.current is world.worker and not any(condition.held for condition in conditions):
                scheduler.sleep(0.001)  # calls are served while the aggregator folds and publishes

    commit, opened = aggregator.storage.database.commit, Database.__init__

    def opening(database: Database, path: Path, steps: Sequence[Step]) -> None:
        opened(database, path, steps)
        world.databases.append(database)

    def committing(connection: sqlite3.Connection) -> None:
        if scheduler.acting is not None:
            try:
                cast(Party, scheduler.acting).fsync("commits to its database")
            except OSError as error:
                raise refused_by_sqlite(error) from error
        commit(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "__init__", opening)
        patch.setattr(aggregator.storage.database, "commit", committing)
        patch.setattr(aggregator.app, "grpc", SimpleNamespace(server=Server))
        # No silo's certificate changes here, and what is written of them would move the steps of kept histories.
        patch.setattr(aggregator.renewals.Renewals, "check", lambda *_: None)
        patch.setattr(aggregator.app.tls, "listen", world.certificate.listen)
        patch.setattr(tls.grpc, "dynamic_ssl_server_credentials", lambda first, newer, **_: (first, newer))
        patch.setattr(tls.grpc, "ssl_server_certificate_configuration", lambda pairs, **_: pairs[0][1])
        patch.setattr(privacy.channel.identity, "datetime", moment)
        patch.setattr(aggregator.app, "time", time)
        patch.setattr(aggregator.app, "datetime", moment)
        patch.setattr(aggregator.app.software, "enter", lambda *_: None)
        patch.setattr(aggregator.rounds.coordinator, "threading", SimpleNamespace(Condition=condition))
        patch.setattr(aggregator.serving.service, "threading", SimpleNamespace(Timer=NoTimer, Lock=NoLock))
        patch.setattr(privacy.channel.authorisation, "datetime", moment)
        patch.setattr(privacy.ledger.store, "datetime", moment)
        patch.setattr(silo_node.connection.patience, "secrets", SimpleNamespace(randbelow=lambda below: below // 2))
        patch.setattr(silo_node.egress.channel, "diagnose", lambda _, to, **__: world.diagnose(int(to)))
        patch.setattr(silo_node.connection.client, "open_channel", lambda _, to, *__: world.channel(int(to)))
        patch.setattr(silo_node.connection.patience, "time", time)
        patch.setattr(silo_node.witnessing.cosigning, "time", time)
        patch.setattr(silo_node.rounds.roster_watch, "time", time)
        slot = partial(UploadSlot, clock=time.monotonic, sleep=time.sleep)
        patch.setattr(silo_node.rounds.agent, "UploadSlot", slot)
        patch.setattr(durable, "hold", holding)
        patch.setattr(os, "fsync", fsync)
        cheap.apply(patch)
        if not world.cast.cosigning:
            patch.setattr(silo_node.rounds.agent, "Cosigning", NoCosigning)
        yield


def refused_by_sqlite(error: OSError) -> sqlite3.Error:
    """What SQLite raises when the system refuses a write or an fsync."""
    full = error.errno == errno.ENOSPC
    refused = sqlite3.OperationalError("the disk refuses")
    refused.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR_FSYNC
    refused.sqlite_errorname = "SQLITE_FULL" if full else "SQLITE_IOERR_FSYNC"
    return refused


class NoCosigning:
    """A silo that witnesses for nobody."""

    def __init__(self, *_: object) -> None:
        pass

    def exchange(self) -> None:
        pass

    def finish(self, patience: float) -> None:
        pass


class NoTimer:
    """A stream in the simulation never stands still for so long that its call is ended."""

    daemon = True

    def __init__(self, *_: Any) -> None:
        pass

    def start(self) -> None:
        pass

    def cancel(self) -> None:
        pass


class NoLock:
    """One task runs at a time, and none waits while it holds a lock."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
