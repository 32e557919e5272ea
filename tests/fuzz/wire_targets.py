"""Everything that reads bytes of a peer."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health_pb2 as pb
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from aggregator.renewals import Renewals
from privacy.channel import enrolment, roster_statement
from privacy.channel.admission import Request, check_request
from privacy.channel.envelope import sign
from privacy.channel.member import Member, Role
from privacy.channel.one_way import records
from privacy.channel.roster_statement import RosterStatement
from privacy.channel.status import CODE_KEY, KIND_KEY, Told, from_rpc
from privacy.configuration import parse
from privacy.errors import CollegiumError
from privacy.he import frames
from privacy.he.params import CiphertextParams
from privacy.wire import bodies, convert, exchange, health, renewals
from privacy.wire.renewals import RenewRequest
from privacy.wire.requests import Arrived, Piece
from tests.fuzz.target import Target
from tests.privacy.studies import study
from tests.privacy.wire import strategies as some

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
REFUSES = (CollegiumError,)
PARAMS = CiphertextParams.choose(3, 1000)


def asked_of_health(data: bytes) -> None:
    """What the health service is asked, by each of its methods, and answers."""
    for read in (health.decode_check, health.decode_list, health.decode_status):
        with suppress(*REFUSES):
            read(data)


CALLS: tuple[tuple[str, Callable[[bytes], object], st.SearchStrategy[Any], Callable[[Any], bytes]], ...] = (
    ("signed", bodies.decode_signed, some.signeds, bodies.encode_signed),
    ("await", convert.decode_await, some.awaits, convert.encode_await),
    ("board", convert.decode_board, some.boards, convert.encode_board),
    ("sum-request", convert.decode_sum_request, some.sum_requests, convert.encode_sum_request),
    ("frame-request", convert.decode_frame_request, some.frame_requests, convert.encode_frame_request),
    ("frame", convert.decode_frame, st.binary(min_size=1, max_size=64), convert.encode_frame),
    ("part-header", convert.decode_part, some.signeds, convert.encode_header_part),
    ("part-piece", convert.decode_part, st.builds(Piece, st.just(1), st.just(b"x")), convert.encode_piece),
    ("snapshot-download", convert.decode_snapshot_download, some.snapshot_downloads, convert.encode_snapshot_download),
    ("snapshot-frame", convert.decode_snapshot_frame, some.snapshot_frames, convert.encode_snapshot_frame),
    ("heads-given", exchange.decode_given, some.heads_given, exchange.encode_given),
    ("heads-shown", exchange.decode_shown, some.heads_shown, exchange.encode_shown),
    ("arrived", convert.decode_arrived, st.builds(Arrived, some.numbers), convert.encode_arrived),
    ("head-query", convert.decode_head_query, some.head_queries, convert.encode_head_query),
    (
        "renewal",
        renewals.decode_request,
        st.builds(RenewRequest, some.digests, st.binary(min_size=1, max_size=64)),
        renewals.encode_request,
    ),
    ("renewed", renewals.decode_answer, st.binary(min_size=1, max_size=64), renewals.encode_answer),
    ("health", asked_of_health, some.names, lambda name: pb.HealthCheckRequest(service=name).SerializeToString()),
)
"""What the bytes of a call are read with, and how such bytes are made."""


def some_of(strategy: st.SearchStrategy[Any], encode: Callable[[Any], bytes]) -> Callable[[], Iterator[bytes]]:
    """Any message of a kind, the same each time, encoded."""
    any_will_do = settings(phases=[Phase.generate], derandomize=True, database=None)

    @cache
    def found() -> bytes:
        return encode(find(strategy, lambda _: True, settings=any_will_do))

    return lambda: iter([found()])


def opened(kind: type[Any], data: bytes) -> object:
    """A body that was signed, whatever it is: no fuzzing gets past a signature."""
    return bodies.open_signed(sign(bodies.kind_of(kind), data, "north", KEY), kind, PUBLIC)


def of_body(kind: type[Any]) -> Target:
    """The parser of one kind of signed message."""
    every = some.any_body.filter(lambda body: type(body) is kind)
    return Target(f"body-{bodies.kind_of(kind)}", partial(opened, kind), REFUSES, some_of(every, bodies.encode_body))


def statement(data: bytes) -> object:
    """A roster statement whose signature is right."""
    return roster_statement.open_signed(sign(roster_statement.KIND, data, "demo", KEY), "demo", PUBLIC)


def admission(data: bytes) -> object:
    """A request for admission or renewal, as the consortium reads it."""
    return check_request(parse(data, Request, name="request"))


def renewal_request(data: bytes) -> object:
    """A request for renewal, as the aggregator takes it from a silo."""
    asked = study()
    with tempfile.TemporaryDirectory() as folder:
        return Renewals(Path(folder), asked).answer(asked.roster.silos[0].name, RenewRequest(asked.digest(), data))


def a_frame(data: bytes) -> object:
    """A frame of one ciphertext; the parser takes one length alone, so the bytes are brought to it."""
    size = PARAMS.ciphertext_bytes
    return frames.decode((data * (size // max(1, len(data)) + 1))[:size] if data else b"", 1, PARAMS)


def statements() -> Iterator[bytes]:
    """A statement that revokes nobody."""
    yield RosterStatement(
        consortium="demo", serial=1, issued="2026-03-01T00:00:00Z", expires="2026-04-01T00:00:00Z"
    ).canonical()


def requests() -> Iterator[bytes]:
    """A silo's request for admission, as its file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "token").write_text("t" * 43)
        (root / "token").chmod(0o600)
        enrolment.begin(root, Member("demo", Role.SILO, "north"), (), root / "token", root / "request.json")
        yield (root / "request.json").read_bytes()


def one_way_heads() -> Iterator[bytes]:
    """The head of a call, signed by a certificate of its own."""
    key, name = ec.derive_private_key(7, ec.SECP256R1()), x509.Name([])
    at = datetime(2026, 3, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = made.not_valid_before(at).not_valid_after(at + timedelta(days=1)).sign(key, hashes.SHA256())
    yield records.Head(bytes(records.FRESH_BYTES), 1, certificate, b"proof").encode()


def statuses() -> Iterator[bytes]:
    """How a call ended."""
    yield records.status_bytes(Told(grpc.StatusCode.UNAVAILABLE, "later", "Unreachable", "peer.busy"))


def ended(data: bytes) -> None:
    """How a call ended, in the words of the other end: kind, code and sentence."""
    kind, code, text = (*data.decode("utf-8", "replace").split("\0", 2), "", "")[:3]

    class Ended(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNKNOWN

        def details(self) -> str:
            return text

        def trailing_metadata(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(key=KIND_KEY, value=kind), SimpleNamespace(key=CODE_KEY, value=code)]

    error = from_rpc(Ended(), "the aggregator")
    if not str(error).isprintable() or not error.code.isprintable():
        raise RuntimeError("a peer's words go to the terminal as they are")


TARGETS = (
    *(Target(f"call-{name}", read, REFUSES, some_of(strategy, encode)) for name, read, strategy, encode in CALLS),
    *map(of_body, get_args(bodies.Body)),
    Target("ciphertext-frame", a_frame, REFUSES, lambda: iter([b"\x01"])),
    Target("roster-statement", statement, REFUSES, statements),
    Target("admission-request", admission, REFUSES, requests),
    Target("renewal-request", renewal_request, REFUSES, requests),
    Target("one-way-head", records.read_head, REFUSES, one_way_heads),
    Target(
        "one-way-fresh",
        lambda data: records.read_fresh(data.decode("utf-8", "replace")),
        REFUSES,
        lambda: iter([records.fresh_text(bytes(records.FRESH_BYTES), 3).encode()]),
    ),
    Target("call-ended", ended, REFUSES, lambda: iter([b"Unreachable\0peer.busy\0later"])),
    Target("one-way-status", records.read_status, REFUSES, statuses),
)
