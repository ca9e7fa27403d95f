"""Start the web app: ``python app.py``, then open the address it prints."""

from __future__ import annotations

import sys

try:
    from bertdemo.ui.server import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "bertdemo":
        raise
    print(f"The web app needs the package {error.name}: install bertdemo[app].", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
