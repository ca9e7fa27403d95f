"""A slider between two models: blends mixed and compared, against mixing state dicts into a copy by hand.

python benchmarks/blending.py [--times 20]
"""

from __future__ import annotations

import argparse
import copy
from itertools import count

import torch
from _measure import load, machine, print_table, side_by_side

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.models.blend import BlendPair
from bertdemo.mlm.models.masked_lm import MaskedLM

TEXT = "I really really [MASK] this show!"


def by_hand(base: MaskedLM, tuned: MaskedLM, share: float) -> MaskedLM:
    """What the paper's recipe is usually written as: a new state dict, loaded into a copy of the model."""
    first, last = base.model.state_dict(), tuned.model.state_dict()
    mixed = copy.deepcopy(tuned.model)
    mixed.load_state_dict({name: (1 - share) * first[name] + share * last[name] for name in first})
    return MaskedLM(tuned.ref, mixed.eval(), tuned.tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    base, tuned = load("mini-bert"), load("mini-bert")
    with torch.no_grad():
        for weight in tuned.model.parameters():
            weight.mul_(1.01)
    pair, steps = BlendPair(base, tuned), count()

    def share() -> float:
        return next(steps) % 10 / 10 + 0.05

    def ours() -> None:
        with pair.at(share()) as mixed:
            compare(base, mixed, TEXT)

    theirs, mine = side_by_side(lambda: compare(base, by_hand(base, tuned, share()), TEXT), ours, times=options.times)
    print(f"{machine()}\n{TEXT!r}, before and blend compared, float32, median of {options.times}\n")
    print_table(
        ("model", "by hand", "bertdemo", "ahead", "a second"),
        [("mini-bert", f"{theirs * 1e3:.0f} ms", f"{mine * 1e3:.0f} ms", f"{theirs / mine:.1f}x", f"{1 / mine:.1f}")],
    )


if __name__ == "__main__":
    main()
