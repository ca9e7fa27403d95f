"""Start the web app: ``python app.py``, then open the address it prints."""

from __future__ import annotations

import atexit
import os
import sys

code = 1  # what this program ends with, unless it comes to its end


def _go() -> None:
    """Python's own end would cut off whatever thread is inside torch with an answer that nobody waits for any more, and
    torch answers that with "terminate called" and an aborted program."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    atexit.register(_go)  # before anything else, so that it is the last of all

try:
    from bertdemo.ui.server import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "bertdemo":
        raise
    print(f"The web app needs the package {error.name}: install bertdemo[app].", file=sys.stderr)
    code = 2
    sys.exit(code)

if __name__ == "__main__":
    code = main()
    sys.exit(code)
