"""What is audited is drawn once for a list, and a second list is refused once the draw may be known."""

from pathlib import Path

import pytest

from privacy.errors import CorruptState, ProtocolError
from privacy.randomness import SecureStream
from silo_node.rounds import audit_choice

CTX, OTHER = b"c" * 32, b"d" * 32
FIRST, SECOND = b"1" * 32, b"2" * 32


def draw(path: Path, ctx: bytes = CTX, survivors: bytes = FIRST, frames: int = 1000, audited: int = 8) -> object:
    return audit_choice.draw(path, ctx, survivors, frames, audited, SecureStream())


def test_a_restarted_silo_audits_the_same_frames(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    drawn = draw(path)
    assert [draw(path) for _ in range(5)] == [drawn] * 5
    path.unlink()
    assert draw(path) != drawn


def test_another_list_of_the_round_is_refused_and_another_round_draws_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    drawn = draw(path)
    with pytest.raises(ProtocolError) as caught:
        draw(path, survivors=SECOND)
    assert caught.value.code == "sum.refused"
    assert draw(path, ctx=OTHER, survivors=SECOND) != drawn
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data + b"\0" * 4, lambda data: data[:-4] + b"\xff" * 4]
)
def test_a_damaged_record_is_refused(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "audit"
    draw(path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CorruptState):
        draw(path)


def test_fewer_frames_than_are_audited(tmp_path: Path) -> None:
    assert draw(tmp_path / "audit", frames=3) == draw(tmp_path / "audit", frames=3) == (0, 1, 2)
