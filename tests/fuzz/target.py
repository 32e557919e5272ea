"""What is fuzzed: a parser of bytes, what it may raise, seeds to start from, and how much memory it may take."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""A folder of kept inputs for each target: what fuzzing found to be interesting, and every input that once failed."""


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        name: what it is called on the command line, and its folder in `CORPUS`.
        parse: reads the bytes, and returns or raises.
        refuses: the errors that say, as documented, that the bytes are not well-formed; any other is a defect.
        seeds: well-formed inputs, from which fuzzing starts.
        longest: bytes of an input.
        megabytes: the most that one allocation may ask for.
    """

    name: str
    parse: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    seeds: Callable[[], Iterator[bytes]]
    longest: int = 4096
    megabytes: int = 64

    def run(self, data: bytes) -> None:
        """Parse; only what is documented is taken for an answer."""
        try:
            self.parse(data)
        except self.refuses:
            return

    def kept(self) -> list[Path]:
        """The inputs in its folder, in the order of their names."""
        folder = CORPUS / self.name
        return sorted(folder.iterdir()) if folder.is_dir() else []
