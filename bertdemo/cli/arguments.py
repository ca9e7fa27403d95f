"""The commands and their options. Knows what may be typed, not what is done with it."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import NoReturn

from bertdemo import __version__
from bertdemo.mlm.errors import SettingsError
from bertdemo.mlm.settings import SETTINGS

DEFAULT_MODEL = "mini-bert"


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing a usage block."""

    def error(self, message: str) -> NoReturn:
        sentence = message.removeprefix("argument ")
        raise SettingsError(f"{sentence[:1].upper()}{sentence[1:]}; '{self.prog} --help' shows what is possible.")


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="bertdemo", description="See, fine-tune and compare masked language models.")
    parser.add_argument("--version", action="version", version=f"bertdemo {__version__}")
    common = OneLineParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print compact JSON, one object a line, and nothing else")
    common.add_argument("--home", type=Path, metavar="DIR", help="where runs are kept (else BERTDEMO_HOME)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=summary, parents=[common])

    _add_inspect(add("inspect", "What a data file holds: format, encoding, columns, text, rows."))
    _add_train(add("train", "Fine-tune a model on the texts of a file (CSV, text, JSON, Excel, Parquet)."))
    resume = add("resume", "Go on with a run from its last complete checkpoint.")
    resume.add_argument("run", help="the run's id, name or folder")
    _add_fill(add("fill", "The most probable tokens for every [MASK]."))
    _add_compare(add("compare", "The same text through two models."))
    score = add("score", "Mask every token in turn: surprisals and pseudo-perplexity.")
    score.add_argument("text", type=as_typed)
    _add_model(score)
    _add_evaluate(add("evaluate", "Score a model on a file's texts with fixed masks."))
    add("runs", "List the runs.")
    export = add("export", "Any model, a blend such as RUN@0.4 too, as a checkpoint.")
    export.add_argument("model", metavar="REF", help="mini-bert, a folder, a run, a blend or a hub id")
    export.add_argument("--output", type=Path, required=True, metavar="DIR")
    notebook = add("notebook", "A run as a Jupyter notebook, with what it needs, without this package.")
    notebook.add_argument("run", help="the run's id, name or folder")
    notebook.add_argument("--output", type=Path, required=True, metavar="DIR")
    report = add("report", "A run's report as one HTML file to hand in.")
    report.add_argument("run", help="the run's id, name or folder")
    report.add_argument("--output", type=Path, required=True, metavar="FILE")
    _add_operate(add("operate", "See what a running server for others does, and stop, delete or limit it."))
    _add_pretrain(add("pretrain", "Train a vocabulary and a BERT from scratch; again: continue."))
    return parser


def _add_model(parser: argparse.ArgumentParser, *, precision: bool = True) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="REF", help="mini-bert, a folder, a run or a hub id")
    if precision:
        _add_settings(parser, "precision")


def _add_settings(parser: argparse.ArgumentParser, *names: str) -> None:
    """The options of these settings; whoever leaves one out gets None, and the command its default."""
    for name in names:
        setting = SETTINGS[name]
        if setting.kind is bool:
            parser.add_argument(setting.option, action="store_true", default=None, help=setting.help.rstrip("."))
            continue
        limits = f" ({setting.expected}; default: {setting.without or setting.default})"
        parser.add_argument(
            setting.option,
            action="append" if setting.separator else "store",
            default=[] if setting.separator else None,
            type=as_typed if setting.separator else setting.parse,
            metavar=setting.unit,
            help=setting.help.rstrip(".") + ("" if setting.separator else limits),
        )


def _add_file(parser: argparse.ArgumentParser) -> None:
    """A data file and how it is read, where that should not be found."""
    parser.add_argument("file", type=Path)
    parser.add_argument("--column", help="the text column; guessed without")
    parser.add_argument("--encoding", metavar="E", help="such as utf-8, cp1252, gb18030; found without")
    parser.add_argument(
        "--delimiter", metavar="D", type=delimiter, help="one character, tab, none: a text a line, or paragraph"
    )
    parser.add_argument("--header", action=argparse.BooleanOptionalAction, help="whether the first row names columns")


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("--model", metavar="REF", help="whose tokenizer counts rows that are too long, and [UNK]")
    _add_settings(parser, "max_length", "long_texts")


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    _add_model(parser, precision=False)
    _add_settings(parser, *SETTINGS)
    parser.add_argument("--as-in-the-notebook", action="store_true", help="100 rows, 20 epochs, 1e-5, length 512")
    parser.add_argument("--name", type=as_typed, default="")
    parser.add_argument("--output", type=Path, metavar="DIR", help="the run's folder")
    parser.add_argument("--notebook", type=Path, metavar="DIR", help="train nothing: write a notebook that would")


def _add_fill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", type=as_typed)
    _add_model(parser)
    parser.add_argument("--top-k", type=whole_number, default=5, metavar="K")
    parser.add_argument("--targets", type=as_typed, default="", metavar="A,B", help="words to score at every mask")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", type=as_typed)
    parser.add_argument("--before", required=True, metavar="REF")
    parser.add_argument("--after", required=True, metavar="REF")
    parser.add_argument("--top-k", type=whole_number, default=5, metavar="K")
    _add_settings(parser, "precision")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    _add_model(parser)
    _add_settings(parser, "limit", "seed", "max_length", "long_texts")
    parser.add_argument("--masks", type=Path, metavar="FILE", help="write what was scored, a JSON line a row")


def _add_operate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="where the server is, such as http://classroom:7860")
    acts = ("status", "stop", "delete", "first", "empty", "limit")
    parser.add_argument("act", nargs="?", default="status", choices=acts, help="what to do (default: status)")
    parser.add_argument("about", nargs="?", default="", help="the run's id, or the limit's name")
    parser.add_argument("value", nargs="?", default="", help="the limit's new value")
    parser.add_argument("--operator-password", metavar="TEXT", help="else BERTDEMO_OPERATOR_PASSWORD")
    parser.add_argument("--password", metavar="TEXT", help="the page's own, where it has one (else BERTDEMO_PASSWORD)")


def _add_pretrain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", nargs="+", type=Path, help="UTF-8 text, a paragraph a line; .xz too")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--validation", type=Path, metavar="FILE", help="text to score on, cut at 128 tokens a paragraph"
    )
    parser.add_argument("--limit", type=whole_number, metavar="N", help="use the first N paragraphs only")
    _add_settings(parser, "precision", "device")
    for name in ("vocabulary-size", "layers", "width", "heads", "steps", "batch-rows", "seed"):
        parser.add_argument(f"--{name}", type=whole_number, metavar="N")
    parser.add_argument("--learning-rate", type=number, metavar="X")


def delimiter(text: str) -> str:
    """ "tab" and "\\t" -> a tab; "none" -> "", which stands for no delimiter; any other character is itself."""
    return {"tab": "\t", "\\t": "\t", "none": ""}.get(text.casefold(), text)


def as_typed(text: str) -> str:
    """The text as UTF-8 where the locale, such as C, could not read it; what is none becomes the sign for that."""
    if not any("\udc80" <= letter <= "\udcff" for letter in text):  # how Python keeps bytes that it could not read
        return text
    try:
        return os.fsencode(text).decode("utf-8", "replace")
    except UnicodeEncodeError:  # it came from a program, as it is
        return text


def whole_number(text: str) -> int:
    """ "3" -> 3; anything else is refused in words."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """ "5e-5" -> 5e-05; "nan", "inf" and words are refused."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 0.00005 or 5e-5")
    return value
