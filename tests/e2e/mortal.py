"""A real program that ends itself by SIGKILL at one place, and notes what it trained, sent and opened.

`python -m tests.e2e.mortal ORDER PROGRAM ARGUMENTS...` imports the program as it is installed, puts a watcher around
the functions that are named here or in the order, and calls its `main`. So a kill is at an exact line of the protocol's
table of persistence, and nothing in the program knows of it. Not a part of the product.

What is noted, in the folder `notes` of the order, is what no file of a silo keeps: a mark when a round's training
begins, the integers that were encrypted, and those that were opened. A file for each, by one rename; a second for the
same round has another number.
"""

import functools
import importlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tests.e2e.programs import APPS


@dataclass(frozen=True)
class Place:
    """Just before, or just after, the n-th call of a function whose arguments fit.

    Attributes:
        target: `module:name` or `module:Class.name`.
        given: a pattern for each argument that is looked at, matched with its text.
        within: another function, if only calls count that are made while it runs.
    """

    when: Literal["before", "after"]
    target: str
    nth: int = 1
    given: Mapping[str, str] = field(default_factory=dict)
    within: str = ""


@dataclass(frozen=True)
class Order:
    """Where a process ends itself, if anywhere, and where it notes what it does."""

    place: Place | None = None
    notes: str | None = None

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> "Order":
        read = json.loads(text)
        return cls(Place(**read["place"]) if read["place"] else None, read["notes"])


def run(order: Order, program: str, arguments: list[str]) -> None:
    """Be that program from here on."""
    main = importlib.import_module(APPS[program]).main
    if order.notes is not None:
        note_in(Path(order.notes))
    if order.place is not None:
        end_at(order.place)
    sys.argv = [f"collegium-{program}", *arguments]
    main()


# ---- ending


def end_at(place: Place) -> None:
    """Put the end where it belongs."""
    calls, lock, running = count(1), threading.Lock(), [not place.within]

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            running[0] = True
            try:
                return function(*arguments, **named)
            finally:
                running[0] = False

        return counted

    def watcher(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            bound = signature.bind(*arguments, **named).arguments
            fits = running[0] and all(fnmatch(str(bound[name]), pattern) for name, pattern in place.given.items())
            with lock:
                ends = fits and next(calls) == place.nth
            if ends and place.when == "before":
                end()
            result = function(*arguments, **named)
            if ends:
                end()
            return result

        return watched

    if place.within:
        replace(place.within, counting)
    replace(place.target, watcher)


def end() -> None:
    """As `kill -9` from outside: nothing of this process happens any more."""
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(1)


# ---- noting


def note_in(folder: Path) -> None:
    """Note what a silo trains, encrypts and opens."""
    folder.mkdir(parents=True, exist_ok=True)
    rounds: list[int] = []

    def noting_train(train: Callable[..., Any]) -> Callable[..., Any]:
        def noting(self: Any, weights: Any, round_number: int) -> Any:
            _keep(folder, f"trained-{round_number}", np.zeros(0, np.uint8))
            return train(self, weights, round_number)

        return noting

    def noting_make(make: Callable[..., Any]) -> Callable[..., Any]:
        def noting(self: Any, model: Any, number: int, *more: Any) -> Any:
            rounds.append(number)
            return make(self, model, number, *more)

        return noting

    def noting_protect(protect: Callable[..., Any]) -> Callable[..., Any]:
        def noting(holder: Any, values: NDArray[np.uint16], *more: Any) -> Any:
            _keep(folder, f"sent-{rounds[-1]}", values)
            return protect(holder, values, *more)

        return noting

    def noting_open(opening: Callable[..., Any]) -> Callable[..., Any]:
        def noting(self: Any, *more: Any) -> Any:
            sums = opening(self, *more)
            _keep(folder, f"opened-{self.place.round_number}", sums)
            return sums

        return noting

    replace("silo_node.learning.learner:Learner.train", noting_train)
    replace("silo_node.rounds.contribution:Contributor.make", noting_make)
    replace("silo_node.rounds.contribution:protect", noting_protect)
    replace("silo_node.rounds.opening:Opening.open", noting_open)


def _keep(folder: Path, name: str, values: NDArray[Any]) -> None:
    number = next(n for n in count(1) if not (folder / f"{name}-{n}.npy").exists())
    new = folder / f"{name}-{number}.new"
    with new.open("wb") as file:
        np.save(file, values)
    new.rename(folder / f"{name}-{number}.npy")


def noted(folder: Path, what: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """All notes of a kind, with the number of their round; the same round twice if it was done twice."""
    for path in sorted(folder.glob(f"{what}-*.npy")):
        yield int(path.stem.split("-")[1]), np.load(path)


# ---- how


def replace(target: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put `around(function)` in the place of a function, static or not."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    found = inspect.getattr_static(owner, name)
    if isinstance(found, staticmethod):
        setattr(owner, name, staticmethod(around(found.__func__)))
    else:
        setattr(owner, name, around(found))


if __name__ == "__main__":
    run(Order.of(sys.argv[1]), sys.argv[2], sys.argv[3:])
