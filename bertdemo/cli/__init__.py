"""The command line: the same engine without a browser; tables for people, JSON lines for programs."""

from .main import main

__all__ = ["main"]
