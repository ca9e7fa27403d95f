"""The shape of the house, read from its sources: layers that import one way, small parts, nothing heavy at the door."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("mlm", "runs", "charts", "interface", "cli", "ui")  # each may import itself and those before it
ROOMS = (
    "errors",
    "setting",
    "settings",
    "wording",
    "data",
    "models",
    "text",
    "inference",
    "training",
    "analysis",
    "lessons",
)  # inside mlm, too
FORBIDDEN = {  # where -> which distributions have no business there
    "mlm": {"gradio", "gradio_client", "plotly", "rich"},
    "runs": {"gradio", "gradio_client", "plotly", "rich"},
    "charts": {"gradio", "gradio_client", "torch", "transformers"},
    "interface": {"gradio", "gradio_client", "torch", "transformers"},
    "cli": {"gradio", "gradio_client", "plotly"},
    "ui": {"torch", "transformers"},
}
SOURCES = sorted((ROOT / "bertdemo").rglob("*.py"))
MAX_LINES, LONGEST_FUNCTION = 400, 50


def module_name(path: Path) -> str:
    """``bertdemo/mlm/models/hub.py`` -> ``bertdemo.mlm.models.hub``; a package goes by its folder's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module, *, package: str) -> set[str]:
    """Full names of all that is imported anywhere in a module; ``from .a import b`` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *filter(None, [node.module])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def imports_of(path: Path) -> set[str]:
    name = module_name(path)
    return imported(parsed(path), package=name if path.name == "__init__.py" else name.rpartition(".")[0])


def layer_of(module: str) -> str:
    """``bertdemo.mlm.models.hub`` -> ``mlm``; "" for what belongs to no layer."""
    return next(iter(module.split(".")[1:2]), "") if module.startswith("bertdemo.") else ""


def runs_back_up(importer: str, name: str) -> bool:
    here, there = layer_of(importer), layer_of(name)
    return here in LAYERS and there in LAYERS and LAYERS.index(there) > LAYERS.index(here)


def room_of(module: str) -> str:
    """``bertdemo.mlm.models.hub`` -> ``models``; "" for what is not inside mlm."""
    return next(iter(module.split(".")[2:3]), "") if layer_of(module) == "mlm" else ""


def room_runs_back_up(importer: str, name: str) -> bool:
    here, there = room_of(importer), room_of(name)
    return here in ROOMS and there in ROOMS and ROOMS.index(there) > ROOMS.index(here)


def test_the_reader_of_imports_sees_every_way_to_write_one() -> None:
    tree = ast.parse("import gradio as gr\ndef f():\n    from ..runs import store\n    from . import heads\n")
    assert imported(tree, package="bertdemo.mlm") == {
        *("gradio", "bertdemo.runs", "bertdemo.runs.store"),
        *("bertdemo.mlm", "bertdemo.mlm.heads"),
    }
    assert runs_back_up("bertdemo.mlm.models.hub", "bertdemo.runs.store")
    assert not runs_back_up("bertdemo.ui.app", "bertdemo.runs.store")
    assert room_runs_back_up("bertdemo.mlm.models.hub", "bertdemo.mlm.training.loop")
    assert not room_runs_back_up("bertdemo.mlm.training.loop", "bertdemo.mlm.models.hub")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    name, names = module_name(path), imports_of(path)
    assert [other for other in names if runs_back_up(name, other) or room_runs_back_up(name, other)] == []
    foreign = {other.partition(".")[0] for other in names}
    assert foreign & FORBIDDEN.get(layer_of(name), set()) == set()


def test_every_module_stands_in_a_layer() -> None:
    outside = {module_name(path) for path in SOURCES if layer_of(module_name(path)) not in LAYERS}
    assert outside == {"bertdemo", "bertdemo.__main__"}
    rooms = {room_of(module_name(path)) for path in SOURCES} - {""}
    assert rooms == set(ROOMS)


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {module_name(path) for path in SOURCES}
    packages = {module_name(path) for path in SOURCES if path.name == "__init__.py"}
    graph = {module_name(path): imports_of(path) & modules - packages for path in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_modules_and_functions_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_module_says_what_it_does_and_annotates_what_it_takes(path: Path) -> None:
    assert ast.get_docstring(parsed(path))
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.returns is not None, node.name
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [argument.arg for argument in arguments if argument.annotation is None]
            assert set(bare) <= {"self", "cls"}, node.name


@pytest.mark.parametrize("path", [path for path in SOURCES if layer_of(module_name(path)) in ("mlm", "runs", "charts")])
def test_the_engine_never_prints(path: Path) -> None:
    calls = [node.func for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


def test_nothing_heavy_stands_at_the_door() -> None:
    """Importing the package, or asking the command line for help, loads none of the great libraries."""
    heavy = ("torch", "transformers", "tokenizers", "gradio", "plotly", "pandas", "numpy")
    code = f"""
import sys
import bertdemo
assert not [name for name in sys.modules if name.startswith("bertdemo.")]
from bertdemo.cli.arguments import build_parser
from bertdemo.cli import main
build_parser()
print(*[name for name in {heavy} if name in sys.modules])
"""
    assert python(code) == ""


@pytest.mark.slow
def test_the_engine_needs_neither_gradio_nor_plotly() -> None:
    """Every module of the engine, the runs and the command line is imported where the two cannot be."""
    names = [module_name(path) for path in SOURCES if layer_of(module_name(path)) in ("mlm", "runs", "cli")]
    code = f"""
import importlib, sys
for name in ("gradio", "gradio_client", "plotly"):
    sys.modules[name] = None
for name in {names}:
    importlib.import_module(name)
"""
    assert python(code) == ""


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
