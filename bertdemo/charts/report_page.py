"""A run's report as one HTML file to hand in: no server, no script, figures as SVG, some tens of kilobytes.

It holds the watched sentences before and after, the loss, the held-out report, the settings, and the data's name and
hash, but none of its rows. Every text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

import pandas as pd

from bertdemo.mlm.settings import SETTINGS, config_values
from bertdemo.mlm.training.events import TrainingHistory
from bertdemo.mlm.wording import percent
from bertdemo.runs.record import RunRecord, command_line
from bertdemo.runs.report_file import RunReport
from bertdemo.runs.run import Run

from .between import blend_svg
from .look import HELD_OUT, OTHERS, TUNED, smoothed, thinned
from .svg import SvgLine, lines_svg

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8886; vertical-align: top; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; } .verdict { font-size: 1.2rem; font-weight: 700; }
@media print { body { margin: 0; } h2 { break-after: avoid; } svg, table { break-inside: avoid; } }
"""


def report_page(run: Run, report: RunReport | None) -> str:
    """The file's text; without a report (too little was held out, or no base) it says what else there is."""
    record, history = run.record, TrainingHistory.of(run.log.records())
    parts = [
        f"<h1>{escape(record.name)}</h1><p>{escape(_about(record))}</p>",
        _section("What changed", _verdict(report)),
        _section("The watched sentences, before and after", _probes(history)),
        _section("The loss", _curve(history)),
        _section("On rows that it never saw", _numbers(report)),
        _section("Between before and after", _between(report)),
        _section("Settings", _settings(record)),
        _section("The data", _data(record)),
        _section("To train the same again", f"<pre>{escape(command_line(record))}</pre>"),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(record.name)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _section(title: str, html: str) -> str:
    return f"<h2>{escape(title)}</h2>{html}" if html else ""


def _about(record: RunRecord) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in sorted(record.versions.items()))
    return (
        f"{record.model.label} fine-tuned on {record.train_rows} rows of {record.data.name}; {record.state} after"
        f" {record.steps_done} steps and {record.seconds:.0f} s, {record.precision} on {record.device}, begun"
        f" {(record.started or record.created)[:16].replace('T', ' ')} UTC. {versions}."
    )


def _verdict(report: RunReport | None) -> str:
    if report is None:
        return "<p>There is no comparison with the model that it began from.</p>"
    remarks = "".join(f"<p>{escape(remark)}</p>" for remark in report.remarks)
    return f'<p class="verdict">{escape(report.verdict)}</p>{remarks}'


def _probes(history: TrainingHistory) -> str:
    """The five likeliest words at each blank, at step 0 and at the last reading."""
    if len(history.probed) < 2:
        return ""
    first, last = history.probed[0], history.probed[-1]
    rows = []
    for before, after in zip(first["probes"], last["probes"], strict=False):
        for one, other in zip(before["masks"], after["masks"], strict=False):
            rows.append((before["text"], _words(one["candidates"]), _words(other["candidates"])))
    return _table(("sentence", "before", "after"), rows)


def _words(candidates: Iterable[dict[str, Any]]) -> str:
    return ", ".join(f"{word['token']} {percent(word['probability'])}" for word in candidates)


def _curve(history: TrainingHistory) -> str:
    means = thinned(history.steps, smoothed(history.losses))
    held_out, general = (
        [(record["step"], record["loss"]) for record in records if record["loss"] is not None]
        for records in (history.evaluated, history.general)
    )
    training = [(step, loss) for step, loss in zip(*means, strict=True) if loss is not None]
    lines = [
        SvgLine("training, smoothed", TUNED, training),
        SvgLine("held-out rows", HELD_OUT, held_out, marked=True),
        SvgLine("general English", OTHERS, general, dashed=True, marked=True),
    ]
    drawn = [line for line in lines if line.points]
    return lines_svg(drawn, label="The loss by step", x_title="step", y_title="loss (nats per target)")


def _numbers(report: RunReport | None) -> str:
    if report is None:
        return ""
    note = (
        "Both models answered for the same targets, on masks drawn once. The loss is the mean over all targets, in"
        " nats; guesses are counted at the targets that show [MASK]."
    )
    return f"{_frame(report.to_frame())}<p>{escape(note)}</p>"


def _between(report: RunReport | None) -> str:
    if report is None or not report.blends:
        return ""
    return f"{blend_svg(report.blends)}<p>{escape(report.between)}</p>"


def _settings(record: RunRecord) -> str:
    values = config_values(record.settings, limit=record.data.limit)
    rows = [(SETTINGS[name].label, _plain(value)) for name, value in values.items() if value not in (None, (), "")]
    return _table(("setting", "value"), rows)


def _data(record: RunRecord) -> str:
    rows = [("file", record.data.name), ("column", record.data.column or "–"), ("SHA-256", record.data.sha256 or "–")]
    rows += [("rows to train on", f"{record.train_rows}"), ("held out", f"{record.held_out_rows}")]
    return _table(("", ""), rows)


def _frame(frame: pd.DataFrame) -> str:
    rows = [tuple(map(_plain, row)) for row in frame.itertuples(index=False, name=None)]
    return _table(tuple(map(str, frame.columns)), rows)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "–"
    return "–" if value is None else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    first = f"<thead><tr>{heads}</tr></thead>" if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{first}<tbody>{body}</tbody></table>"
