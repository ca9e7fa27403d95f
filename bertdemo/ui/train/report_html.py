"""The held-out report as HTML: one line first, then two bars a measure, then numbers and rows on demand.

It takes a report and returns a string in which every text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import pandas as pd

from bertdemo.charts.between import blend_svg
from bertdemo.mlm.training.evaluation import Quality
from bertdemo.mlm.training.report import BeforeAfter, Interval, RowReport, RowToken
from bertdemo.mlm.wording import percent
from bertdemo.runs.report_file import RunReport

from ..markup import Bar, BarGroup, BarRow, bar_list, legend, table

_MEASURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("loss per target", "loss", "{:.3f}".format),
    ("perplexity", "perplexity", "{:.1f}".format),
    ("first guess right at [MASK]", "top1", percent),
    ("among the first five there", "top5", percent),
)


def report_html(report: RunReport, *, base: str, tuned: str) -> str:
    """``base`` and ``tuned`` are the names of the two models."""
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in report.remarks)
    verdict = f'<p class="report-verdict" role="status">{escape(report.verdict)}</p>'
    return (
        f'<section class="report" aria-label="What changed">{verdict}'
        f'{_bars(report, base=base, tuned=tuned)}<ul class="remarks">{remarks}</ul>{_between(report)}'
        f"<details><summary>Numbers</summary>{_numbers(report)}</details>"
        f"<details><summary>Rows predicted best and worst</summary>{_rows(report)}</details></section>"
    )


def _between(report: RunReport) -> str:
    """The losses of blends as a picture, with what they say."""
    if not report.blends:
        return ""
    return (
        f'<figure class="between"><figcaption>Between before and after: {escape(report.between)}</figcaption>'
        f"{blend_svg(report.blends)}"
        "<p>Each point is a model whose weights are mixed from the two (Wortsman et al. 2022), asked the"
        " same questions; 1.25 goes beyond the tuned model.</p></figure>"
    )


def _bars(report: RunReport, *, base: str, tuned: str) -> str:
    """Right guesses before and after as bars; left out where there are too few to speak of."""
    if report.held_out.too_few:
        return ""
    parts = [("Right at the first guess", report.held_out, "top1"), ("Among the first five", report.held_out, "top5")]
    if report.general:
        parts.append(("Right at the first guess, general English", report.general, "top1"))
    rows = [
        BarRow(title, [_bar("base", change.before, name), _bar("tuned", change.after, name)], bold=False)
        for title, change, name in parts
    ]
    key = legend([f"before: {base}", f"after: {tuned}"], ["base", "tuned"])
    return bar_list([BarGroup(rows)], end=1.0, above=key)


def _bar(kind: str, quality: Quality, name: str) -> Bar:
    share = getattr(quality, name)
    return Bar(kind, share or 0.0, percent(share))


def _numbers(report: RunReport) -> str:
    held_out = report.held_out
    columns = {"before": held_out.before, "after": held_out.after}
    if report.best is not None:
        columns[f"best epoch (step {report.best_step:,})"] = report.best
    if report.baseline is not None:
        columns["frequency alone"] = report.baseline.quality
    if report.general is not None:
        columns |= {"general English, before": report.general.before, "general English, after": report.general.after}
    lines = [
        _intervals("", held_out),
        *([_intervals("On general English: ", report.general)] if report.general else []),
    ]
    lines.append(
        "Both models answered for the same targets. The loss is the mean surprise over all of them, in nats; the"
        " perplexity is e to that power, and cannot be compared with a left-to-right model's. Guesses are counted at"
        " the targets that show [MASK] alone: the others show a token, often the right one. All of this was computed"
        " in float32, whatever the run trained in."
    )
    if report.baseline is not None:
        lines.append(
            "Frequency alone: what one gets by knowing only how often each token occurs in the rows that were learned"
            f" from, so that the first guess is always “{report.frequent_token}”."
        )
    return _table(columns) + "".join(f"<p>{escape(line)}</p>" for line in lines)


def _table(columns: dict[str, Quality]) -> str:
    rows = [
        [label, *(_format(getattr(quality, name), write) for quality in columns.values())]
        for label, name, write in _MEASURES
    ]
    return table(pd.DataFrame(rows, columns=["", *columns]), label="Numbers")


def _intervals(where: str, change: BeforeAfter) -> str:
    """How large the changes are, with their intervals."""
    loss = _changed(change.before.loss, change.after.loss, change.loss_change, scale=1, write="{:+.3f}".format)
    top1 = _changed(change.before.top1, change.after.top1, change.top1_change, scale=100, write="{:+.1f}".format)
    return (
        f"{where}{change.targets:,} targets in {change.rows:,} rows; {change.hidden:,} of them show [MASK]. The loss"
        f" changed by {loss}, right first guesses by {top1} points (in brackets: a 95% interval for rows like these)."
    )


def _changed(
    before: float | None, after: float | None, interval: Interval, *, scale: float, write: Callable[[float], str]
) -> str:
    values = [None if before is None or after is None else after - before, interval.low, interval.high]
    change, low, high = (_format(None if value is None else scale * value, write) for value in values)
    return f"{change} [{low}, {high}]"


def _rows(report: RunReport) -> str:
    if not report.best_rows:
        return "<p>There are too few rows with several targets to choose from.</p>"
    note = (
        '<p class="quiet">Marked: the targets. <mark class="right">guessed right</mark> or'
        ' <mark class="missed">missed</mark>, with what it guessed instead;'
        ' <mark class="seen">left visible</mark>: the model read this word or a random one in its place.</p>'
    )
    return note + _row_list("Best", report.best_rows) + _row_list("Worst", report.worst_rows)


def _row_list(title: str, rows: Sequence[RowReport]) -> str:
    return f"<h4>{title}</h4>" + "".join(_row(row) for row in rows)


def _row(row: RowReport) -> str:
    text = "".join(_token(token) for token in row.tokens) + (" …" if row.cut else "")
    loss = f"{_format(row.loss_before, '{:.2f}'.format)} → {_format(row.loss_after, '{:.2f}'.format)}"
    targets = "1 target" if row.targets == 1 else f"{row.targets} targets"
    return f"<blockquote><p>{text}</p><footer>{targets}, loss {loss}</footer></blockquote>"


def _token(token: RowToken) -> str:
    space, text, target = " " if token.space else "", escape(token.text), token.target
    if target is None:
        return space + text
    right, guess = target.rank == 1, f" <small>(“{escape(target.guess)}”)</small>"
    kind = "seen" if not target.masked else "right" if right else "missed"
    return f'{space}<mark class="{kind}">{text}</mark>{"" if right else guess}'


def _format(value: float | None, write: Callable[[float], str]) -> str:
    return "–" if value is None or not math.isfinite(value) else write(value).replace("-", "−")
