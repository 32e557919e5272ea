import io
import json
import threading
from typing import Any

from privacy.errors import Unreachable
from privacy.operations.events import Events
from silo_node.connection.renewing import Renewing


class Failing(Renewing):
    """Whose steps go wrong in turn, and then well."""

    def __init__(self, log: io.StringIO, *errors: Exception) -> None:
        unused: Any = None
        super().__init__(unused, unused, unused, events=Events(log, "silo", "chest"))
        self.errors, self.done = list(errors), threading.Event()

    def step(self) -> bool:
        if self.errors:
            raise self.errors.pop(0)
        self.done.set()
        return False


def test_whatever_goes_wrong_is_told_and_tried_again() -> None:
    log = io.StringIO()
    renewing = Failing(log, Unreachable("nobody answers; wait"), RuntimeError("a patient's name"))
    with renewing.running(every=0.001):
        assert renewing.done.wait(5)
    warning, defect = map(json.loads, log.getvalue().splitlines())
    assert warning["sentence"] == "the certificate is not renewed yet: nobody answers; wait"
    assert (warning["event"], warning["code"]) == ("warning", Unreachable.default_code)
    assert (defect["event"], defect["kind"]) == ("defect", "RuntimeError")
    assert "a patient's name" not in log.getvalue()
