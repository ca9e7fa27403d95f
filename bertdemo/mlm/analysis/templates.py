"""Sentence templates with braces: ``The {man|woman} worked as a [MASK].`` stands for two texts that differ in one word.

Works on text alone; knows no model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import TextError

_BRACES = re.compile(r"\{([^{}]*)\}")
_EXAMPLE = 'write "The {man|woman} worked as a [MASK]."'


@dataclass(frozen=True)
class Template:
    """Fixed parts, and between them groups of C choices each; the groups move together.

    ``{He|She} likes {his|her} job`` is "He likes his job" and "She likes her job", never "He likes her job".
    """

    fixed: tuple[str, ...]  # (G + 1,)
    groups: tuple[tuple[str, ...], ...]  # (G, C)

    @property
    def labels(self) -> tuple[str, ...]:
        """What tells the texts apart (C,): the choices of the first braces."""
        return self.groups[0]

    def texts(self) -> tuple[str, ...]:
        """One text for each choice (C,)."""
        return tuple(self.filled([group[index] for group in self.groups]) for index in range(len(self.labels)))

    def filled(self, choices: list[str]) -> str:
        """The text with these words in the braces (G,); spaces around an empty one close up."""
        parts = [self.fixed[0]]
        for choice, fixed in zip(choices, self.fixed[1:], strict=True):
            closes_up = not choice and (not parts[-1].strip() or parts[-1].endswith(" "))
            parts += [choice, fixed.removeprefix(" ") if closes_up else fixed]
        return "".join(parts)


def parse_template(text: str) -> Template:
    """``"The {man|woman} worked."`` -> fixed ("The ", " worked."), groups (("man", "woman"),).

    Raises:
        TextError: no braces, unpaired or nested ones, fewer than two choices, the same choice twice, or groups of
            different sizes.
    """
    fixed = _BRACES.split(text)[::2]
    if any(brace in part for part in fixed for brace in "{}"):
        raise TextError(f"The braces in {_quoted(text)} do not pair up, or lie inside each other; {_EXAMPLE}.")
    groups = tuple(tuple(choice.strip() for choice in group.split("|")) for group in _BRACES.findall(text))
    if not groups:
        raise TextError(f"{_quoted(text)} has no braces, so there is nothing to compare; {_EXAMPLE}.")
    for group in groups:
        if len(group) < 2 or len(set(group)) < len(group):
            raise TextError(f"{{{'|'.join(group)}}} needs two or more different choices, parted by |; {_EXAMPLE}.")
        if len(group) != len(groups[0]):
            raise TextError(
                f"All braces of {_quoted(text)} move together, so each needs as many choices as the first, "
                f"which has {len(groups[0])}, but {{{'|'.join(group)}}} has {len(group)}."
            )
    return Template(tuple(fixed), groups)


def _quoted(text: str) -> str:
    shown = " ".join(text.split())
    return f'"{shown if len(shown) <= 60 else shown[:57] + "..."}"'
