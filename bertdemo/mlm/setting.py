"""What one setting is to people: its words, its range, how a value of it is read and refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from .errors import SettingsError

_SHOWN = 40  # characters of a refused value


@dataclass(frozen=True)
class Setting:
    """One setting as people meet it: ``--learning-rate`` on the command line, ``learning_rate`` for programs, a label
    with a sentence of help on the page.

    ``low`` and ``high`` belong to the range unless ``open_range``; ``without``: what is taken where it is left out, if
    that is no plain default; ``separator``: there are several, typed into one field with this between them.
    """

    defaults: ClassVar[dict[str, Any]] = {}  # by name: those of ``TrainingConfig``, which fills them in

    name: str
    kind: type[int] | type[float] | type[str] | type[bool]  # bool: a switch, off by default
    label: str
    help: str
    low: float = -math.inf
    high: float = math.inf
    open_range: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False  # may be None
    without: str = ""
    separator: str = ""
    unit: str = "N"  # what stands for the value in a usage line
    subject: str = ""  # how a refusal begins; "" for "The <label>"

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def default(self) -> Any:
        return self.defaults.get(self.name)

    @property
    def expected(self) -> str:
        """What the value must be, in words: ``"a whole number from 1 to 10000"``."""
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return " or ".join(self.choices) if self.choices else "a text"
        noun = "a whole number" if self.kind is int else "a number"
        if self.open_range:
            return f"{noun} between {self.low:g} and {self.high:g}, both excluded"
        low, high = (f"{end:g}" if self.kind is float else f"{end}" for end in (self.low, self.high))
        return f"{noun} from {low} " + (f"to {high}" if self.high < math.inf else "on")

    def parse(self, value: object) -> Any:
        """What somebody typed or sent, as a value that can be: ``"5e-5"`` -> 5e-05, ``3.0`` -> 3, ``"a, b"`` -> (a, b).

        Raises SettingsError for anything that it cannot be, an empty text included.
        """
        if self.separator:
            items = value if isinstance(value, list | tuple) else str(value or "").split(self.separator)
            return tuple(text for item in items if (text := str(item).strip()))
        parsed = value if self.kind in (str, bool) else self._number(value)
        self.check(parsed)
        return parsed

    def check(self, value: object) -> None:
        """Raises SettingsError unless the value is of the kind and within the range."""
        if self.separator or (value is None and self.optional):
            return
        if self.kind is bool:
            good = isinstance(value, bool)
        elif self.kind is str:
            good = isinstance(value, str) and (not self.choices or value in self.choices)
        else:
            wanted = int if self.kind is int else int | float
            good = isinstance(value, wanted) and not isinstance(value, bool) and self._in_range(value)
        if not good:
            subject = self.subject or f"The {self.label[:1].lower()}{self.label[1:]}"
            usual = "" if self.default is None or self.without or self.kind is bool else f"; {self.default} is usual"
            raise SettingsError(f"{subject} must be {self.expected}, but is {_shown(value)}{usual}.")

    def words(self, value: Any) -> list[str]:
        """As typed on the command line: 3 -> ``["--epochs", "3"]``; nothing for None and for a switch that is off."""
        if self.kind is bool:
            return [self.option] if value else []
        texts = [str(item) for item in (value if self.separator else (value,)) if item is not None]
        return [
            word
            for text in texts  # what begins with a dash would be taken for an option
            for word in ([f"{self.option}={text}"] if text.startswith("-") else [self.option, text])
        ]

    def _in_range(self, value: float) -> bool:
        return self.low < value < self.high if self.open_range else self.low <= value <= self.high

    def _number(self, value: object) -> object:
        """The number that is meant, whole where it is; what is none comes back as it is."""
        if isinstance(value, int):
            return value  # never by way of a float, which would round a seed of many digits
        try:
            if self.kind is int and isinstance(value, str) and value.strip().lstrip("+-").isdigit():
                return int(value)
            number = float(value)  # type: ignore[arg-type]  # whatever it is, it is tried
        except (TypeError, ValueError, OverflowError):
            return value
        return int(number) if self.kind is int and number.is_integer() else number


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) >= 2**70:
        return "far too large"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
