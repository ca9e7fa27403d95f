"""Early stopping: whether a run has gone on for too many epochs without a better held-out loss. Knows no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .events import EndedEarly, Evaluated


@dataclass
class Patience:
    """``best``: step and loss of the best scores after step 0, which a resumed run takes up again."""

    epochs: int  # 0: endless
    best: tuple[int, float] | None = None

    def take(self, evaluated: Evaluated) -> None:
        """Scores in order of step; taking some again changes nothing. A loss of NaN (no targets) is never the best."""
        if evaluated.step and (evaluated.loss < self.best[1] if self.best else evaluated.loss == evaluated.loss):
            self.best = evaluated.step, evaluated.loss

    def ended(self, step: int, *, epoch_of: Callable[[int], int]) -> EndedEarly | None:
        """What is to be said where the last step of an epoch is one too many."""
        if not self.epochs or self.best is None:
            return None
        best_step, loss = self.best
        epoch, best_epoch = epoch_of(step), epoch_of(best_step)
        if epoch - best_epoch < self.epochs:
            return None
        times = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        reason = (
            f"The held-out loss was no better for {times}, so the run ended after epoch {epoch}; the best one,"
            f" {loss:.3f}, was in epoch {best_epoch}, and its weights are kept."
        )
        return EndedEarly(step, epoch, best_step, best_epoch, reason)
