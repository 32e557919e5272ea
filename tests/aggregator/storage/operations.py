"""What may be done with a store, for tests that end it at any instant."""

from typing import Any

from hypothesis import strategies as st

from aggregator.storage.store import StudyStore
from privacy.channel.envelope import Signed

MESSAGE = Signed("sign", b"body", "north", b"\1" * 64)

OPERATIONS = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 3), st.sampled_from(["sign-1", "sign-12", "survivors"]), st.binary()),
    st.tuples(st.just("drop"), st.integers(1, 3), st.sampled_from(["sign-1", "sign-12", "survivors"])),
    st.tuples(st.just("sum"), st.integers(1, 3), st.integers(0, 2), st.sampled_from([b"one", b"two"])),
    st.tuples(st.just("scrub"), st.integers(1, 3)),
    st.tuples(
        st.sampled_from(["upload", "arrive"]), st.integers(1, 3), st.integers(1, 2), st.sampled_from([b"one", b"two"])
    ),
    st.tuples(st.just("header"), st.integers(1, 3), st.integers(1, 2)),
    st.tuples(st.just("clear"), st.integers(1, 3)),
)


def act(store: StudyStore, what: str, number: int, *more: Any) -> None:
    """Do one of them, where it can be done."""
    place = store.round(number)
    match what, more:
        case "put", (name, body):
            place.put(name, Signed("sign", body, "north", b"\1" * 64))
        case "drop", (name,):
            place.drop(name)
        case "sum", (index, frame):
            place.put_sum(index, frame)
        case "scrub", ():
            place.scrub()
        case "sets", (sets,):
            place.keep_sets(sets)
        case "header", (silo,) if silo not in dict(place.uploads()):
            place.incoming(silo, MESSAGE)
        case "clear", ():
            place.clear_arriving()
        case (("upload" | "arrive"), (silo, frame)) if silo not in dict(place.uploads()):
            incoming = place.incoming(silo, MESSAGE)
            for piece, data in enumerate((b"seeds", frame)):
                if not incoming.has(piece):
                    incoming.put(piece, data)
            if what == "upload":
                incoming.commit()
