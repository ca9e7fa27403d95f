"""What the project promises to installers, to Hugging Face Spaces and to itself."""

from __future__ import annotations

import importlib
import re
import tomllib
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


def listed(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return requirements([line for line in lines if line.strip() and not line.startswith("#")])


NEEDED = requirements([*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["app"]])


def test_spaces_installs_what_the_project_and_its_page_need_in_the_tested_versions() -> None:
    spaces, tested = listed("requirements.txt"), listed("constraints.txt")
    assert spaces == {name: tested[name] for name in NEEDED}


def test_the_tested_versions_are_exact_and_within_the_project_s_ranges() -> None:
    tested = listed("constraints.txt")
    assert all(bounds.startswith("==") for bounds in tested.values())
    extras = [line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
    named = NEEDED | requirements([line for line in extras if not line.startswith(("bertdemo[", "accelerate"))])
    for name, bounds in named.items():
        assert Version(tested[name].removeprefix("==")) in SpecifierSet(bounds), name


def test_the_engine_needs_no_page() -> None:
    assert {"gradio", "plotly", "starlette"} & requirements(PROJECT["project"]["dependencies"]).keys() == set()


def test_the_readme_asks_spaces_for_versions_that_the_project_takes() -> None:
    head = front_matter()
    assert head["sdk"] == "gradio"
    assert Version(head["sdk_version"]) in SpecifierSet(NEEDED["gradio"])
    assert Version(head["python_version"]) in SpecifierSet(PROJECT["project"]["requires-python"])
    assert (ROOT / head["app_file"]).is_file()
    assert head["license"].lower() == PROJECT["project"]["license"].lower()


def test_every_dependency_is_bounded_above() -> None:
    for name, bounds in NEEDED.items():
        assert "<" in bounds or "==" in bounds, name


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
