"""Sizes and counts that messages may have, and the checks that every one of them begins with."""

from privacy.errors import ProtocolError

DIGEST_BYTES = 32
MAX_SILOS = 64
MAX_ROUNDS = 1_000_000
MAX_FRAMES = 20_000
MAX_FRAME_BYTES = 2 * 2**20
KEM_PUBLIC_BYTES = 1184 + 32
SHARE_BYTES = 32
BOX_OVERHEAD_BYTES = 1088 + 32 + 16
"""What HPKE adds to what it seals: encapsulations of ML-KEM-768 and X25519, and the tag."""
BOX_C_BYTES = 2 * SHARE_BYTES + BOX_OVERHEAD_BYTES
BOX_S_BYTES = DIGEST_BYTES + BOX_OVERHEAD_BYTES
MAX_TAG_BYTES = 128
SEAL_TAG_BYTES = 16
MAX_HEADS = 8
"""Heads of one silo's ledger that another keeps."""


def check_digest(value: bytes, name: str, *, may_be_empty: bool = False) -> None:
    """Raises ProtocolError if a field has not the length of a digest."""
    if len(value) != DIGEST_BYTES and not (may_be_empty and not value):
        raise ProtocolError(f"a message has a malformed {name}", code="protocol.malformed")


def check_length(value: bytes, length: int, name: str) -> None:
    """Raises ProtocolError if a field has another length."""
    if len(value) != length:
        raise ProtocolError(f"a message has a malformed {name}", code="protocol.malformed")


def check_place(ctx: bytes, round_number: int, silo_index: int) -> None:
    """Raises ProtocolError if the context, round or silo index cannot be one."""
    check_digest(ctx, "context")
    check_number(round_number, 1, MAX_ROUNDS, "a round number")
    check_number(silo_index, 1, MAX_SILOS, "a silo index")


def check_number(value: int, least: int, most: int, name: str) -> None:
    """Raises ProtocolError if a field is out of range."""
    if not least <= value <= most:
        raise ProtocolError(f"a message has {name} out of range", code="protocol.malformed")


def check_code(value: str) -> None:
    """Raises ProtocolError if it is no dotted code of at most 64 ASCII letters and digits."""
    if not 1 <= len(value) <= 64 or not value.isascii() or not value.replace(".", "").replace("_", "").isalnum():
        raise ProtocolError("a message has a malformed code", code="protocol.malformed")


def check_frames(sizes: tuple[int, ...], digests: tuple[bytes, ...]) -> None:
    """Raises ProtocolError if sizes and digests of frames do not match, or are none or out of bounds."""
    if not 1 <= len(sizes) <= MAX_FRAMES or len(sizes) != len(digests):
        raise ProtocolError("a message lists its frames inconsistently", code="protocol.malformed")
    for size, digest in zip(sizes, digests, strict=True):
        check_number(size, 1, MAX_FRAME_BYTES, "a frame size")
        check_digest(digest, "frame digest")
