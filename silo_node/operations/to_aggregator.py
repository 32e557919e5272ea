"""What doctor looks at of the way to the aggregator: the steps of it, a call as this silo, and which study is served.

Every message, and every handshake that shows our certificate, goes through the silo's only door (`silo_node.egress`)
and is counted there before. The steps of the way show nothing of ours.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress

from privacy.channel.one_way.line import Way
from privacy.channel.tls import host_and_port
from privacy.errors import CollegiumError, ConfigError, StudyError
from privacy.operations import reach, route
from privacy.operations.asking import Asking, serves
from privacy.operations.findings import Check, NotChecked
from privacy.study import Study
from silo_node import configuration
from silo_node.egress.channel import open_channel, why_closed
from silo_node.egress.log import EgressLog
from silo_node.state import StateDirectory


class ToAggregator:
    """The way of one silo to `HOST:PORT`.

    Args:
        directory: the silo's.
        target: HOST:PORT.
        study: the approved study that is meant; any that is approved when left out.

    Raises:
        ConfigError: `target` is not HOST:PORT. As `StateDirectory.identity` and `StateDirectory.proxy`.
    """

    def __init__(self, directory: StateDirectory, target: str, study: str | None) -> None:
        host, _ = host_and_port(target)
        self._directory, self._target, self._study = directory, target, study
        self._identity, self._own = directory.identity(), directory.proxy()
        self._proxy, self._trusted = self._own or reach.proxy_for(host), _trusted(directory)

    def checks(self) -> Iterator[Check]:
        """Each is to be done only if those before it went well."""
        yield from route.checks(self._identity, self._target, self._proxy, self._trusted)
        yield from Asking(self._target, self._opened, self._why_closed).checks()
        yield "study", self.study

    def study(self) -> str:
        """Which approved study is served there. Raises StudyError: none of them."""
        names = (self._study,) if self._study is not None else self._directory.approved_studies()
        if not names:
            raise NotChecked("no study is approved here yet")
        for name in names:
            study, approval = self._approved(name)
            with self._opening(study, approval) as channel:
                if serves(channel, self._target, study.digest()):
                    return f"serves '{name}', which is approved here"
        raise StudyError(
            f"{self._target} does not serve {', '.join(names)}, which this silo approved; ask the consortium for the "
            "right address, or for the study that is served there",
            code="study.not_served",
        )

    def _opened(self) -> AbstractContextManager[object]:
        return self._opening(*self._asked())

    def _why_closed(self) -> CollegiumError:
        with self._counting(*self._asked()) as egress:
            return why_closed(self._identity, self._target, egress, self._proxy, self._trusted)

    def _asked(self) -> tuple[Study | None, str]:
        """Under what a message of no study is counted; a one-way line is a study's, though."""
        return (None, "") if self._trusted is None else self._approved(self._directory.chosen(self._study))

    @contextmanager
    def _opening(self, study: Study | None, approval: str) -> Iterator[object]:
        """The door, with a log that counts under these."""
        way = Way.of(study, self._trusted) if study is not None and self._trusted is not None else None
        with (
            self._counting(study, approval) as egress,
            closing(open_channel(self._identity, self._target, egress, self._own, way)) as channel,
        ):
            yield channel

    @contextmanager
    def _counting(self, study: Study | None, approval: str) -> Iterator[EgressLog]:
        root = self._directory.root
        if root.stat().st_uid != os.geteuid():
            raise NotChecked("not called, as what is counted as left could then not be written by the silo's own user")
        with closing(EgressLog(root, "" if study is None else study.digest().hex(), approval)) as egress:
            yield egress

    def _approved(self, name: str) -> tuple[Study, str]:
        """An approved study, and the digest of its approval."""
        from silo_node.approvals.approval import load_approved  # slow to import, for its accountants

        study, approved = load_approved(self._directory.study(name), self._identity.study_key)
        return study, approved.digest


def _trusted(directory: StateDirectory) -> bytes | None:
    """Who vouches for a one-way line; None too where the check of the line tells what is wrong with it."""
    with suppress(ConfigError):
        return directory.proxy_authorities() if configuration.read(directory.root).one_way_tls else None
    return None
