"""Every word of a sentence masked in turn: bertdemo against a loop of ``pipeline("fill-mask")``, in the same run.

python benchmarks/scanning.py [--models mini-bert bert-base] [--tokens 70]
"""

from __future__ import annotations

import argparse

from _measure import DEVICE, load, machine, median_seconds, print_table, sample_csv
from transformers import pipeline

from bertdemo.mlm.data.corpus import read_corpus
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["mini-bert", "bert-base"])
    parser.add_argument("--tokens", type=int, default=70)
    options = parser.parse_args()
    print(f"{machine()}\none text of {options.tokens} tokens, every token masked once\n")
    rows = []
    for name in options.models:
        masked_lm, times = load(name), 5 if name == "mini-bert" else 1
        text = sentence(masked_lm, options.tokens)
        theirs = median_seconds(lambda: pipeline_scan(masked_lm, text), times=times)  # noqa: B023 (called at once)
        for precision in ("fp32", "bf16"):
            mine = median_seconds(
                lambda: score_sentence(masked_lm, text, within_word="plain", precision=precision),  # noqa: B023
                times=times,
            )
            rows.append((name, precision, f"{theirs:.2f} s", f"{mine:.2f} s", f"{theirs / mine:.1f}x"))
    print_table(("model", "bertdemo in", "pipeline per token (fp32)", "bertdemo", "ahead"), rows)


def pipeline_scan(masked_lm: MaskedLM, text: str) -> None:
    """What a user of the pipeline does: mask one word piece, ask, put it back."""
    reference = pipeline("fill-mask", model=masked_lm.model, tokenizer=masked_lm.tokenizer, top_k=1, device=DEVICE)
    token_ids = masked_lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    for place, token_id in enumerate(token_ids):
        masked = [*token_ids[:place], masked_lm.mask_token_id, *token_ids[place + 1 :]]
        reference(masked_lm.tokenizer.decode(masked), targets=masked_lm.tokenizer.convert_ids_to_tokens([token_id]))


def sentence(masked_lm: MaskedLM, tokens: int) -> str:
    """The beginning of a sample review, cut to the wanted number of tokens."""
    texts = read_corpus(sample_csv()).train
    text = max(texts, key=len)
    token_ids = masked_lm.tokenizer(text, add_special_tokens=False)["input_ids"][:tokens]
    return masked_lm.tokenizer.decode(token_ids)


if __name__ == "__main__":
    main()
