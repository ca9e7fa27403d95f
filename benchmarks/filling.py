"""One mask filled: bertdemo against ``pipeline("fill-mask")`` on the same model and sentence, in the same run.

python benchmarks/filling.py
"""

from __future__ import annotations

from _measure import load, machine, print_table, side_by_side
from transformers import pipeline

from bertdemo.mlm.inference.fill_mask import fill_masks

TEXT = "I really really [MASK] this show!"
TIMES = 100


def main() -> None:
    print(f"{machine()}\n{TEXT!r}, top 5, float32, median of {TIMES}\n")
    rows = []
    for name in ("mini-bert", "bert-base"):
        masked_lm = load(name)
        reference = pipeline("fill-mask", model=masked_lm.model, tokenizer=masked_lm.tokenizer, top_k=5)
        theirs, mine = side_by_side(
            lambda: reference(TEXT),  # noqa: B023 (called at once)
            lambda: fill_masks(masked_lm, TEXT, top_k=5),  # noqa: B023
            times=TIMES,
        )
        wanted = [candidate["token"] for candidate in reference(TEXT)]
        same = wanted == [candidate.token_id for candidate in fill_masks(masked_lm, TEXT, top_k=5).masks[0].candidates]
        rows.append((name, f"{theirs * 1e3:.1f} ms", f"{mine * 1e3:.1f} ms", f"{theirs / mine:.2f}x", same))
    print_table(("model", "pipeline", "bertdemo", "ahead", "same answers"), rows)


if __name__ == "__main__":
    main()
