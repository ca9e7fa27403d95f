"""Ranks as everyone who reports one counts them."""

from __future__ import annotations

import math

import torch

from bertdemo.mlm.inference.log_probs import ranks_of


def test_what_is_no_number_ranks_last_and_pushes_nobody_back() -> None:
    scores = torch.tensor([[-1.0, -3.0, math.nan, -2.0], [math.nan] * 4, [-1.0, -1.0, -math.inf, -2.0]])
    columns = [ranks_of(scores, torch.full((3,), token)).tolist() for token in range(4)]
    assert list(map(list, zip(*columns, strict=True))) == [[1, 3, 4, 2], [4, 4, 4, 4], [1, 1, 4, 3]]
