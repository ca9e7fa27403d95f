"""Start the web app: ``python app.py``, then open the address it prints."""

from __future__ import annotations

import sys

from bertdemo.ui.server import main

if __name__ == "__main__":
    sys.exit(main())
