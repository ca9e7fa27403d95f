"""What the project promises to installers, to Hugging Face Spaces and to itself."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from command_line import command
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from bertdemo import __version__
from bertdemo.mlm.models.loading import BUNDLED_MODEL, bundled_assets

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(lines: list[str]) -> dict[str, str]:
    """Name -> bounds, written one way whatever their order."""
    parsed = [Requirement(line) for line in lines]
    return {one.name.lower().replace("_", "-"): ",".join(sorted(map(str, one.specifier))) for one in parsed}


def front_matter() -> dict[str, str]:
    """The ``key: value`` lines at the head of the README, which Spaces reads."""
    head = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    return {key: value.strip(" \"'") for key, value in re.findall(r"^(\w+): *(.+)$", head, re.MULTILINE)}


NEEDED = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]


def lines_of(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]


PINNED = {
    name: Version(bounds.removeprefix("==")) for name, bounds in requirements(lines_of("constraints.txt")).items()
}


def test_spaces_installs_what_the_page_needs_as_it_was_tested() -> None:
    spaces = requirements(lines_of("requirements.txt"))
    assert spaces == {name: f"=={PINNED[name]}" for name in requirements([*NEEDED, *EXTRAS["app"]])}


def test_what_was_tested_is_within_the_ranges() -> None:
    ranges = requirements([*NEEDED, *EXTRAS["app"], *EXTRAS["test"]])
    del ranges["bertdemo"]
    for name, bounds in ranges.items():
        assert PINNED[name] in SpecifierSet(bounds), name


def test_whoever_installs_takes_the_versions_that_were_tested() -> None:
    for name in ("Makefile", "Dockerfile"):
        installs = re.findall(r"pip install .*?(?:\n(?!    )|$)", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
        fetching = [line for line in installs if "--no-deps" not in line]
        assert fetching
        assert [line for line in fetching if "constraints.txt" not in line] == []
    for name, version in PINNED.items():
        if name in requirements([*NEEDED, *EXTRAS["app"]]):
            assert Version(distribution(name).version.partition("+")[0]) == version, f"{name} is not what is tested"


def test_the_readme_asks_spaces_for_versions_that_the_project_takes() -> None:
    head = front_matter()
    assert head["sdk"] == "gradio"
    assert Version(head["sdk_version"]) == PINNED["gradio"]
    assert Version(head["python_version"]) in SpecifierSet(PROJECT["project"]["requires-python"])
    assert (ROOT / head["app_file"]).is_file()
    assert head["license"].lower() == PROJECT["project"]["license"].lower()


def test_every_dependency_is_bounded_above() -> None:
    for name, bounds in requirements([*NEEDED, *EXTRAS["app"]]).items():
        assert "<" in bounds, name


def foreign_imports(folder: Path) -> set[str]:
    """The distributions that the modules there import, by the names that they are installed by."""
    own = {path.stem for path in ROOT.rglob("*.py")} | {"bertdemo"}
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").partition(".")[0])
    return {name.replace("_", "-") for name in names - own - sys.stdlib_module_names}


OPTIONAL = {"openpyxl"}  # the engine says so where it needs one that is not there; the page's extra installs it


def test_all_that_is_imported_is_declared() -> None:
    engine, page = set(requirements(NEEDED)), set(requirements([*NEEDED, *EXTRAS["app"]]))
    for part in ("mlm", "runs", "cli"):
        assert foreign_imports(ROOT / "bertdemo" / part) <= engine | OPTIONAL, part
    assert page >= OPTIONAL
    for part in ("charts", "ui"):
        assert foreign_imports(ROOT / "bertdemo" / part) <= page, part
    assert foreign_imports(ROOT / "tests") <= page | set(requirements(EXTRAS["test"]))


def test_there_is_one_version() -> None:
    assert Version(__version__)
    assert (ROOT / PROJECT["tool"]["hatch"]["version"]["path"]).read_text().count(f'__version__ = "{__version__}"') == 1
    assert command("--version").out == f"bertdemo {__version__}\n"


def test_every_file_that_the_project_names_is_there() -> None:
    project, hatch = PROJECT["project"], PROJECT["tool"]["hatch"]
    wheel = hatch["build"]["targets"]["wheel"]
    named = [project["readme"], *project["license-files"], hatch["version"]["path"], *wheel["packages"]]
    named += [*wheel["force-include"], *PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_an_installed_package_finds_what_it_carries() -> None:
    """A wheel puts the bundled files where ``bundled_assets`` looks: in the package's own ``assets`` folder."""
    carried = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for source, target in carried.items():
        assert target == f"bertdemo/{source}"
        assert (bundled_assets() / Path(source).name).exists()
    assert (bundled_assets() / BUNDLED_MODEL / "model.safetensors").is_file()


def test_the_command_is_where_the_project_says() -> None:
    module, _, name = PROJECT["project"]["scripts"]["bertdemo"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
