"""Reads the project's Markdown: fenced blocks by the heading above them, and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]))


@dataclass(frozen=True)
class Block:
    """A fenced block: page, the heading above it, its language and its text."""

    page: Path
    heading: str
    language: str
    text: str

    @property
    def commands(self) -> tuple[str, ...]:
        """Its lines without comments."""
        lines = (re.sub(r"\s+#.*$", "", line).strip() for line in self.text.splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))


def blocks(page: Path) -> tuple[Block, ...]:
    """All fenced blocks of a page, in order."""
    found, heading, language, lines = [], "", None, []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if language is None:
                language, lines = line[3:].strip(), []
            else:
                found.append(Block(page, heading, language, "\n".join(lines)))
                language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return tuple(found)


def block(page: str, heading: str, number: int = 0) -> Block:
    """The first bash block below a heading of a page, or that of a number from 0; the page is named from the root."""
    found = [part for part in blocks(ROOT / page) if part.heading == heading and part.language == "bash"]
    assert len(found) > number, f"{page} has no block {number} below '{heading}'"
    return found[number]
