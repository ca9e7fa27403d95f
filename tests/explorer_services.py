"""Services for tests of the fill tab: real models and a real store in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from bertdemo.runs.store import Workspace
from bertdemo.ui.services import Services


def explorer_services(home: Path, *, model: Path) -> Services:
    """The page opens with the checkpoint in ``model``; nothing is trained, so there is no manager."""
    workspace = Workspace(home)
    manager = SimpleNamespace(live=tuple)
    return Services(workspace.registry, manager, workspace.store, home, home / "none.csv", default_model=str(model))
