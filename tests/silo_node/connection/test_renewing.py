import logging
import threading
from typing import Any

import pytest

from privacy.errors import Unreachable
from silo_node.connection.renewing import Renewing


class Failing(Renewing):
    """Whose steps go wrong in turn, and then well."""

    def __init__(self, *errors: Exception) -> None:
        unused: Any = None
        super().__init__(unused, unused, unused)
        self.errors, self.done = list(errors), threading.Event()

    def step(self) -> bool:
        if self.errors:
            raise self.errors.pop(0)
        self.done.set()
        return False


def test_whatever_goes_wrong_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    renewing = Failing(Unreachable("nobody answers; wait"), RuntimeError("a patient's name"))
    with caplog.at_level(logging.WARNING), renewing.running(every=0.001):
        assert renewing.done.wait(5)
    assert "not renewed yet: nobody answers" in caplog.text
    assert "by a defect of this program: RuntimeError" in caplog.text
    assert "a patient's name" not in caplog.text
