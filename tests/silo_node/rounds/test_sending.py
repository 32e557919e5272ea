"""An upload leaves at its slot; what the aggregator has, or cannot take any more, stops nobody."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.errors import ProtocolError
from privacy.ledger.store import Ledger
from privacy.wire.requests import Board, Phase
from silo_node.connection.client import AggregatorClient
from silo_node.rounds.progress import Progress
from silo_node.rounds.records import RoundRecords
from silo_node.rounds.sending import NOT_TAKEN, Sending
from silo_node.rounds.stored_upload import StoredUpload
from silo_node.rounds.upload_slot import UploadSlot
from tests.silo_node.rounds.test_stored_upload import made
from tests.silo_node.rounds.test_upload_slot import VirtualTime


@dataclass
class Aggregator:
    """Takes an upload, or answers with a code."""

    answer: str = ""
    frozen: bool = False
    taken: list[StoredUpload] = field(default_factory=list)

    def board(self, round_number: int, phase: Phase) -> Board:
        return Board(self.frozen, phase, ())

    def upload(self, upload: StoredUpload) -> int:
        if self.answer:
            raise ProtocolError("refused", code=self.answer)
        self.taken.append(upload)
        return 70


@dataclass
class Site:
    root: Path
    aggregator: Aggregator = field(default_factory=Aggregator)
    time: VirtualTime = field(default_factory=VirtualTime)

    def __post_init__(self) -> None:
        self.ledger = Ledger.create(self.root / "ledger", "spiffe://chest-net/silo/north", Ed25519PrivateKey.generate())
        self.upload = made(self.root / "upload")

    def send(self, slot: int = 0, started: float = 1000.0) -> int:
        return Sending(
            cast(AggregatorClient, self.aggregator),
            UploadSlot(slot, self.time.clock, self.time.sleep),
            RoundRecords(self.ledger, b"d" * 32),
            Progress(None, 3),
        ).send(self.upload, 1, started)

    def incidents(self) -> list[object]:
        return [entry.body["code"] for entry in self.ledger.entries if entry.kind == "incident"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_it_leaves_at_once_where_the_study_has_no_slot(site: Site) -> None:
    assert site.send() == 70
    assert (site.aggregator.taken, site.time.slept) == ([site.upload], [])


def test_it_waits_for_its_slot(site: Site) -> None:
    site.time.now += 20
    assert site.send(slot=60) == 70
    assert (site.time.now, site.incidents()) == (1060.0, [])


def test_a_slot_that_was_missed_is_recorded(site: Site) -> None:
    site.time.now += 130
    site.send(slot=60)
    assert (site.time.now, site.incidents()) == (1180.0, ["upload.slot_missed"])


def test_a_round_that_is_frozen_is_not_waited_for(site: Site) -> None:
    site.aggregator.frozen, site.aggregator.answer = True, "upload.late"
    assert site.send(slot=60) == 0
    assert site.time.slept == []


@pytest.mark.parametrize("code", NOT_TAKEN)
def test_an_upload_that_is_there_or_too_late_is_no_error(site: Site, code: str) -> None:
    site.aggregator.answer = code
    assert site.send() == 0


def test_any_other_refusal_is_raised(site: Site) -> None:
    site.aggregator.answer = "upload.shape"
    with pytest.raises(ProtocolError):
        site.send()
