"""How good a masked language model is: general English with fixed masks, everyday sentences with one blank, and pairs
of sentences of which one is wrong.

Paragraphs stand alone and are cut at 128 tokens; 15% of the tokens are targets, 80/10/10: the loss is over all of
them, top-1 and top-5 over those that show [MASK], and beside that over all targets. Without ``--text`` the bundled
general English is scored.
``benchmarks/everyday_blanks.tsv`` was written for this project.

    python benchmarks/quality.py [--model REF] [--text FILE.txt(.xz)] [--blimp FILE.jsonl]

``--blimp``: lines of ``good``, ``bad`` and ``uid``, as BLiMP has them (Warstadt et al. 2020). A model is right on a
pair if the good sentence has the greater PLL, every token masked in turn; the mean is over the paradigms (``uid``).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from _measure import machine, print_table

from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.evaluation import score_targets, tokenize_and_fix
from bertdemo.mlm.training.pretraining import read_paragraphs
from bertdemo.runs.store import Workspace, default_home

BLANKS = Path(__file__).with_name("everyday_blanks.tsv")
SHOWN = (
    "I really really [MASK] this show!",
    "I really really [MASK] this show! It's okay.",
    "I really really [MASK] this show! It sucks!",
    "I really really [MASK] this show! It's awesome and full of mystery!",
    "The capital of France is [MASK].",
)
ROWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini-bert")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--blimp", type=Path)
    options = parser.parse_args()
    workspace = Workspace(default_home())
    masked_lm = workspace.load(options.model)
    paragraphs = list(read_paragraphs([options.text])) if options.text else list(workspace.general_english)
    paragraphs = paragraphs[:: max(1, len(paragraphs) // ROWS)]
    *_, scores = score_targets(
        masked_lm, tokenize_and_fix(masked_lm, paragraphs, max_length=128, seed=0), precision="fp32"
    )
    quality = scores.quality()
    first, among_five, count = everyday(masked_lm)
    print(f"{machine()}\n{options.model}\n")
    name = options.text.name if options.text else "bundled general English"
    rows = [
        (
            f"{name}: {len(paragraphs):,} paragraphs, {quality.targets:,} targets, {quality.hidden:,} of them [MASK]",
            *(f"{share:.1%}" for share in (quality.top1, quality.top5)),
            *(f"{(scores.ranks <= best).mean():.1%}" for best in (1, 5)),
            f"{quality.loss:.3f}",
        ),
        (f"everyday blanks: {count} sentences", f"{first:.1%}", f"{among_five:.1%}", "-", "-", "-"),
    ]
    print_table(("", "top-1 at [MASK]", "top-5", "top-1 of all targets", "top-5", "loss per target"), rows)
    print(f"perplexity {quality.perplexity:.2f}")
    if options.blimp:
        share, pairs = minimal_pairs(masked_lm, options.blimp)
        print(f"{options.blimp.name}: {share:.1%} of {pairs:,} pairs right, mean over paradigms")
    for text in SHOWN:
        words = ", ".join(f"{c.token} {c.probability:.1%}" for c in fill_masks(masked_lm, text).masks[0].candidates)
        print(f"{text}  {words}")


def everyday(masked_lm: MaskedLM) -> tuple[float, float, int]:
    """(share of answers that are the first guess, share among the first five, number of sentences)."""
    lines = [line.split("\t") for line in BLANKS.read_text(encoding="utf-8").splitlines() if line.strip()]
    first = among_five = 0
    for text, answers in lines:
        wanted = set(answers.strip().split("|"))
        guesses = [candidate.token for candidate in fill_masks(masked_lm, text).masks[0].candidates]
        first += guesses[0] in wanted
        among_five += bool(wanted & set(guesses))
    return first / len(lines), among_five / len(lines), len(lines)


def minimal_pairs(masked_lm: MaskedLM, path: Path) -> tuple[float, int]:
    """(mean over paradigms of the share of pairs whose good sentence scores higher, number of pairs); ties lose."""
    right: dict[str, list[bool]] = defaultdict(list)
    for pair in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        good, bad = (score_sentence(masked_lm, pair[side], within_word="plain").pll for side in ("good", "bad"))
        right[pair["uid"]].append(good > bad)
    shares = [sum(answers) / len(answers) for answers in right.values()]
    return sum(shares) / len(shares), sum(map(len, right.values()))


if __name__ == "__main__":
    main()
