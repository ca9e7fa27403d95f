"""The commands that write a file to be used elsewhere: a model as a checkpoint, a run as a notebook or as a report."""

from __future__ import annotations

import argparse

from bertdemo.charts.report_page import report_page
from bertdemo.runs.files import disk_errors, write_atomically
from bertdemo.runs.model_card import export_model
from bertdemo.runs.notebook_file import source_of, write_notebook
from bertdemo.runs.report_file import can_report, kept_report, make_report
from bertdemo.runs.store import Workspace, default_home

from . import display


def export(options: argparse.Namespace) -> int:
    """Any model, a blend too, as a folder that transformers loads."""
    workspace = Workspace(options.home or default_home())
    export_model(workspace.load(options.model), options.output)
    display.print_written("model", options.output, as_json=options.json)
    return 0


def notebook(options: argparse.Namespace) -> int:
    run = Workspace(options.home or default_home()).store.get(options.run, allow_folders=True)
    display.print_written("notebook", write_notebook(source_of(run), options.output), as_json=options.json)
    return 0


def report(options: argparse.Namespace) -> int:
    workspace = Workspace(options.home or default_home())
    run = workspace.store.get(options.run, allow_folders=True)
    found = kept_report(run)
    if found is None and can_report(run):
        found = make_report(run, workspace.registry, general=workspace.general_english)
    with disk_errors("The report"):
        write_atomically(options.output, report_page(run, found))
    display.print_written("report", options.output, as_json=options.json)
    return 0
