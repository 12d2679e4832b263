"""Reads the README: its code blocks with what a test may do to them, and its links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

# A block is announced by a comment that does not show: <!-- run --> or <!-- parse: why it is not run -->.
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>run|parse: [^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)```\n", re.DOTALL
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and whether it is to be run."""

    mark: str
    language: str
    text: str

    @property
    def runs(self) -> bool:
        return self.mark == "run"

    @property
    def commands(self) -> list[list[str]]:
        """The words of every command; ``a && b`` is two."""
        lines = [part for line in self.text.splitlines() for part in line.split("&&")]
        return [shlex.split(line) for line in lines if line.strip()]


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a Markdown text, in order."""
    return [Block(found["mark"] or "", found["language"], found["text"]) for found in _BLOCK.finditer(text)]


def broken_links(page: Path) -> list[str]:
    """Local links of a Markdown file that lead nowhere."""
    targets = [link.partition("#")[0] for link in _LINK.findall(page.read_text()) if "://" not in link]
    return [target for target in targets if target and not (page.parent / target).exists()]
