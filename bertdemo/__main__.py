"""``python -m bertdemo``: the command line."""

import sys

from bertdemo.cli import main

if __name__ == "__main__":  # a process that is spawned imports this once more
    sys.exit(main())
