"""The port of one-way lines, for silos whose proxies open TLS and that aggregator.yaml names; there is none by default.

It has a server of its own, so that strangers, whom TLS does not keep out here, take no thread or connection from the
mutual port. Handlers and shares are the same: a silo has one share, whichever port it calls at.
"""

from collections.abc import Callable, Sequence
from concurrent import futures
from functools import partial
from pathlib import Path
from threading import Lock

import grpc

from aggregator.configuration import AggregatorConfig
from privacy.channel import tls
from privacy.channel.authorisation import Authorisation
from privacy.channel.identity import Identity
from privacy.channel.limits import Limits, threads_for
from privacy.channel.one_way.service import Allowed, OneWay
from privacy.errors import ConfigError
from privacy.ledger.facts import transport
from privacy.ledger.store import Ledger
from privacy.study import Study

_SHOWN = 5


class OneWayPort:
    """A server beside the mutual one; `start` and `stop` it with that one.

    Args:
        listen: HOST:PORT.
        folder: the identity's folder, for renewed certificates.
        authorisation, limits, handlers: those of the mutual port.
        ledger: told which silos used the port.
        count: given the code of each error that ends a call, and the silo that called.

    Raises:
        ConfigError: the address cannot be had.
    """

    def __init__(
        self,
        study: Study,
        identity: Identity,
        config: AggregatorConfig,
        listen: str,
        folder: Path,
        authorisation: Authorisation,
        limits: Limits,
        handlers: "Sequence[grpc.GenericRpcHandler[bytes, bytes]]",
        ledger: Ledger,
        count: Callable[[str, str], None],
    ) -> None:
        named = {silo.name: bytes.fromhex(silo.identity) for silo in study.roster.silos}
        silos = {name: named[name] for name in config.one_way_tls}
        enter = partial(transport.enter, ledger, study.digest().hex(), tls=transport.ONE_WAY)
        told, lock = set[str](), Lock()

        def used(silo: str) -> None:
            with lock:
                if silo not in told:
                    enter(silo)
                    told.add(silo)

        front = OneWay(identity, Allowed(study.digest(), silos), authorisation, used, count)
        threads = threads_for(len(silos), config.allowance)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(threads),
            interceptors=[front, limits],
            options=tls.SERVER_OPTIONS,
            maximum_concurrent_rpcs=4 * threads,
        )
        self._server.add_generic_rpc_handlers(handlers)
        self.port = tls.listen(self._server, identity, listen, folder, one_way=True)
        self.start, self.stop = self._server.start, self._server.stop


def check_names(config: AggregatorConfig, study: Study) -> None:
    """Check that each silo that may use the port takes part in the study.

    Raises:
        ConfigError: one does not, which is mostly a name that was misspelt.
    """
    if unknown := sorted(set(config.one_way_tls) - {silo.name for silo in study.roster.silos}):
        raise ConfigError(
            f"one_way_tls in aggregator.yaml names {', '.join(unknown[:_SHOWN])}, and study '{study.name}' has no such "
            "silo; correct the name as it is in the study's roster, or take it out",
            code="config.one_way",
        )


def check(config: AggregatorConfig, listen: str | None, study: Study) -> None:
    """Check that the port and the silos that may use it come together, and are the study's.

    Raises:
        ConfigError: one without the other, or a silo that the study does not have.
    """
    check_names(config, study)
    if listen is not None and not config.one_way_tls:
        raise ConfigError(
            "--one-way-listen needs the names of the silos that may call there, under one_way_tls in aggregator.yaml",
            code="config.one_way",
        )
    if listen is None and config.one_way_tls:
        raise ConfigError(
            "one_way_tls in aggregator.yaml names silos, but there is no port for them; give --one-way-listen",
            code="config.one_way",
        )
