"""Rows of a padded batch laid end to end, so that a layer does no work for padding. Knows no model and no weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUND_UP = 32  # on a CPU oneDNN prepares each product for its size, which takes as long as many of them: few sizes


@dataclass(frozen=True)
class PackedRows:
    """B rows of T places each, of which R are worked on: all of them, or only those that hold a token.

    ``places`` (R,) are those that are worked on, counted through all rows, in order; None for all. On a CPU a little
    padding may follow, which nobody looks at or asks. ``real`` (B, T) bool is where a token may look, or None.
    """

    shape: tuple[int, int]
    places: Tensor | None = None
    real: Tensor | None = None

    @property
    def worked_on(self) -> int:
        """R."""
        return self.shape[0] * self.shape[1] if self.places is None else len(self.places)

    def pack(self, padded: Tensor) -> Tensor:
        """(B * T, ...) -> (R, ...)."""
        return padded if self.places is None else padded.index_select(0, self.places)

    def unpack(self, packed: Tensor) -> Tensor:
        """(R, H) -> (B, T, H), with zeros where nothing was worked on."""
        batch, length = self.shape
        if self.places is not None:
            padded = packed.new_zeros(batch * length, packed.shape[-1])
            packed = padded.index_copy(0, self.places, packed)
        return packed.view(batch, length, -1)

    def within(self, positions: Tensor) -> Tensor:
        """positions (N,) counted through all rows -> where they are among the R."""
        if self.places is None:
            return positions
        batch, length = self.shape
        order = torch.zeros(batch * length, dtype=torch.int64, device=self.places.device)
        order[self.places] = torch.arange(len(self.places), device=self.places.device)
        return order[positions]

    def evenly_spread(self, positions: Tensor) -> bool:
        """Whether nothing is left out, and the N > 0 positions are N / B of each row, row by row."""
        batch, length = self.shape
        if self.places is not None or self.real is not None or not len(positions) or len(positions) % batch:
            return False
        if batch == 1:
            return True
        in_turn = torch.arange(batch, device=positions.device).repeat_interleave(len(positions) // batch)
        return torch.equal(positions // length, in_turn)

    def columns(self) -> Tensor:
        """(R,): the place of each in its own row, which is what a position embedding is of."""
        batch, length = self.shape
        return torch.arange(length).repeat(batch) if self.places is None else self.places % length

    def lengths(self) -> Tensor:
        """(B,): how many tokens of each row are worked on; padding that only fills up is none."""
        batch, length = self.shape
        if self.real is None or self.places is None:
            return torch.full((batch,), length)
        return self.real.sum(dim=1)


def packed_rows(attention_mask: Tensor | None, positions: Tensor, *, shape: tuple[int, int]) -> PackedRows:
    """Leave padding out, unless something is wanted there: attention_mask (B, T) or None, positions (N,).

    >>> packed_rows(torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([1, 4]), shape=(2, 3)).places.tolist()
    [0, 1, 3, 4, 5]
    """
    if attention_mask is None:
        return PackedRows(shape)
    real = attention_mask != 0
    if not bool(real.flatten()[positions].all()):
        return PackedRows(shape, real=real)
    places = real.flatten().nonzero()[:, 0]
    if places.device.type == "cpu":
        spare = (~real).flatten().nonzero()[:, 0]
        fillers = -len(places) % ROUND_UP
        places = torch.cat([places, spare[:fillers]]) if fillers <= len(spare) else places
    return PackedRows(shape, places, real)
