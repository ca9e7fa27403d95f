"""The guessing game's rules: its sentences, and who scored what. Knows no model and no page."""

from __future__ import annotations

from dataclasses import dataclass

SENTENCES = (
    "She poured the hot coffee into a [MASK].",
    "It was so cold that the water in the bucket turned to [MASK].",
    "He had lost his key and could not open the [MASK].",
    "The sad song made the whole family [MASK].",
    "I really [MASK] this show!",
    "The book was much better than the [MASK].",
    "They walked along the beach and looked at the [MASK].",
    "The teacher wrote the answer on the [MASK].",
    "After the rain the sky was [MASK] again.",
    "Nobody in the room believed his [MASK].",
    "The cat slept all day under the [MASK].",
    "The second season was even [MASK] than the first.",
)
TOP = 5
MOST_OWN = 50
MOST_CHARACTERS = 4000


@dataclass(frozen=True)
class Tally:
    """How often the reader's word was the model's first guess, and among its first ``TOP``."""

    asked: int = 0
    first: int = 0
    top: int = 0

    def with_rank(self, rank: int) -> Tally:
        """One sentence more."""
        return Tally(self.asked + 1, self.first + (rank == 1), self.top + (rank <= TOP))


@dataclass(frozen=True)
class Game:
    """Where the reader is. ``revealed``: the answer to this sentence is on screen, and the guess has been counted."""

    place: int = 0
    revealed: bool = False
    base: Tally = Tally()
    tuned: Tally = Tally()


def sentences(own: str) -> list[str]:
    """The teacher's own sentences, one a line, or ours."""
    lines = [line.strip() for line in (own or "")[:MOST_CHARACTERS].splitlines() if line.strip()]
    return lines[:MOST_OWN] or list(SENTENCES)
