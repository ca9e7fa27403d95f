"""The command line: the same engine without a browser; tables for people, JSON lines for programs.

Here are its entry and its edge, where errors become exit codes and one line on standard error: 0 done; 1 a bug or a run
that failed; 2 something the user can mend; 130 interrupted.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

from bertdemo.mlm.errors import BertDemoError

from .arguments import build_parser

OK, FAILED, MENDABLE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe on Windows, or an old locale, has no word for most letters
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s", force=True)
    try:
        options = build_parser().parse_args(arguments)
        from .commands import COMMANDS  # torch takes seconds to load: not for --help or a typing slip

        return COMMANDS[options.command](options)
    except BertDemoError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return MENDABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
