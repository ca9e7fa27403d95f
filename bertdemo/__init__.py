"""See what a masked language model expects: explore it, fine-tune it, compare before and after.

In Python and in notebooks::

    import bertdemo

    bertdemo.fill_mask("I really [MASK] this show!")
    run = bertdemo.train("reviews.csv", epochs=3)
    bertdemo.compare("I really [MASK] this show!", before="mini-bert", after=run)

Importing this package builds, loads and opens nothing; the names below load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .interface import compare, fill_mask, load_model, read_table, score_sentence, train

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "fill_mask", "load_model", "read_table", "score_sentence", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import interface  # torch takes seconds to load: not for --help

    return getattr(interface, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
