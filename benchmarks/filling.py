"""One mask filled: bertdemo against ``pipeline("fill-mask")`` on the same model and sentence, in the same run.

python benchmarks/filling.py [--models mini-bert bert-base] [--times 100]
"""

from __future__ import annotations

import argparse

from _measure import DEVICE, load, machine, print_table, side_by_side
from transformers import pipeline

from bertdemo.mlm.inference.fill_mask import fill_masks

TEXT = "I really really [MASK] this show!"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["mini-bert", "bert-base"])
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args()
    print(f"{machine()}\n{TEXT!r}, top 5, float32, median of {options.times}\n")
    rows = []
    for name in options.models:
        masked_lm = load(name)
        reference = pipeline("fill-mask", model=masked_lm.model, tokenizer=masked_lm.tokenizer, top_k=5, device=DEVICE)
        theirs, mine = side_by_side(
            lambda: reference(TEXT),  # noqa: B023 (called at once)
            lambda: fill_masks(masked_lm, TEXT, top_k=5),  # noqa: B023
            times=options.times,
        )
        wanted = [candidate["token"] for candidate in reference(TEXT)]
        same = wanted == [candidate.token_id for candidate in fill_masks(masked_lm, TEXT, top_k=5).masks[0].candidates]
        rows.append((name, f"{theirs * 1e3:.1f} ms", f"{mine * 1e3:.1f} ms", f"{theirs / mine:.2f}x", same))
    print_table(("model", "pipeline", "bertdemo", "ahead", "same answers"), rows)


if __name__ == "__main__":
    main()
