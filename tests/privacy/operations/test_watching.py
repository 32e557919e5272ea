import json

import pytest

from privacy.operations import watching


def test_once_unless_it_is_watched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter(range(9))

    def sleep(seconds: float) -> None:
        if seconds != watching.SECONDS or next(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", sleep)
    numbers = iter(range(9))
    watching.show(lambda: {"n": next(numbers)}, str, watch=False, as_json=False)
    assert capsys.readouterr().out == "{'n': 0}\n"
    with pytest.raises(KeyboardInterrupt):
        watching.show(lambda: {"n": next(numbers)}, str, watch=True, as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7260, "2 h 1 min"), (None, "an unknown time")],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert watching.duration(seconds) == said
