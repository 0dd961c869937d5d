"""The walls of the house: which module may import which, read from the source; and what is imported when."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hepflow": ROOT / "framework",
    "hepflow.plugins": ROOT / "plugins",
    "hepflow.streams": ROOT / "streams",
    "hepflow.jobconfigs": ROOT / "jobconfigs",
}

FLOORS = (
    (
        "errors",
        "html",
        "lazy",
        "properties",
        "variables",
        "expressions",
        "folds",
        "context",
        "protocols",
        "files",
        "versions",
        "processes",
        "normalisation",
    ),
    ("events", "networks", "plots"),
    ("tool", "stream", "executor", "trainingset", "registry", "datafiles"),
    ("io",),
    ("job", "joboptions", "variations"),
    ("execution",),
    ("cli", "api"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}
SIDE_BY_SIDE = {"events", "networks", "plots"}
"""Rooms of one floor that know nothing of each other."""

SLOW = ("tensorflow", "keras", "torch", "onnx", "onnxruntime", "matplotlib", "xgboost", "pythia8mc", "dask")
HEAVY = (*SLOW, "awkward", "uproot", "vector", "h5py", "scipy", "hist", "boost_histogram", "pandas", "distributed")


def modules() -> dict[str, Path]:
    """Every module that is installed, by import name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


MODULES = modules()


@cache
def source(path: Path) -> ast.Module:
    """The parsed source of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def walk(nodes: Iterable[ast.AST], *, functions: bool = True) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports in nodes, except those under ``TYPE_CHECKING`` and, on request, those in functions."""
    for node in nodes:
        if is_type_checking(node):
            yield from walk(node.orelse, functions=functions)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from walk(ast.iter_child_nodes(node), functions=functions)


def imports(path: Path, *, functions: bool = True) -> list[tuple[int, str]]:
    """Return (line, imported module) of a file; ``from a import b`` is ``a.b`` where that is a module of ours."""
    found = []
    for node in walk([source(path)], functions=functions):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
            continue
        assert node.level == 0, f"{path}:{node.lineno} imports relatively"
        base = node.module or ""
        found += [(node.lineno, f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base) for a in node.names]
    return sorted(set(found))


def house(module: str) -> str:
    """Return the folder that a module lives in."""
    for package in ("hepflow.plugins", "hepflow.streams", "hepflow.jobconfigs"):
        if module == package or module.startswith(f"{package}."):
            return package
    return "hepflow"


def room(module: str) -> str:
    """Return the room of a framework module: ``events`` of ``hepflow.events.scope``; empty for the front door."""
    return module.partition(".")[2].partition(".")[0]


def ours(module: str) -> bool:
    return module.partition(".")[0] == "hepflow"


def test_imports_are_found(tmp_path):
    """The reading of the source itself: functions count, TYPE_CHECKING does not."""
    path = tmp_path / "m.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nimport numpy.typing as npt\nif TYPE_CHECKING:\n    import keras\nelse:\n"
        "    import json\ntry:\n    import lz4\nexcept ImportError:\n    pass\ndef f():\n"
        "    from hepflow import events\n"
        "    class A:\n        from hepflow.events.links import key_for\n"
    )
    names = [name for _, name in imports(path)]
    assert names == ["typing", "numpy.typing", "json", "lz4", "hepflow.events", "hepflow.events.links"]
    assert [name for _, name in imports(path, functions=False)] == names[:4]


def test_every_room_of_the_framework_has_a_floor():
    rooms = {room(module) for module in MODULES if house(module) == "hepflow"} - {""}
    assert rooms <= set(FLOOR), f"no floor in the plan: {sorted(rooms - set(FLOOR))}"


def test_who_may_import_whom():
    may = {
        "hepflow": {"hepflow"},
        "hepflow.plugins": {"hepflow", "hepflow.plugins"},
        "hepflow.streams": {"hepflow", "hepflow.streams"},
        "hepflow.jobconfigs": {"hepflow", "hepflow.plugins", "hepflow.streams"},
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for module, path in MODULES.items()
        for line, imported in imports(path)
        if ours(imported) and house(imported) not in may[house(module)]
    ]
    assert wrong == []


def test_generic_plugins_know_no_domain():
    generic = {"batch", "common", "networks", "trees", "training", "performance", "simulation"}

    def folder(module: str) -> str:
        return module.split(".")[2] if house(module) == "hepflow.plugins" and module.count(".") > 1 else ""

    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for module, path in MODULES.items()
        for line, imported in imports(path)
        if folder(module) in generic and folder(imported) not in {*generic, ""}
    ]
    assert wrong == []


def test_rooms_of_the_framework_import_from_floors_below():
    wrong = []
    for module, path in MODULES.items():
        if house(module) != "hepflow" or not room(module):
            continue
        for line, imported in imports(path):
            if not ours(imported) or house(imported) != "hepflow" or room(imported) in ("", room(module)):
                continue
            here, there = FLOOR[room(module)], FLOOR[room(imported)]
            if there > here or (there == here and room(module) in SIDE_BY_SIDE):
                wrong.append(f"{path.relative_to(ROOT)}:{line} (floor {here}) imports {imported} (floor {there})")
    assert wrong == []


def test_framework_modules_import_from_the_defining_module():
    """``from hepflow import Tool`` is for users; inside it would hide who needs whom."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for module, path in MODULES.items()
        if house(module) == "hepflow" and room(module)
        for node in walk([source(path)])
        if isinstance(node, ast.ImportFrom)
        and node.module == "hepflow"
        and not all(f"hepflow.{alias.name}" in MODULES for alias in node.names)
    ]
    assert wrong == []


def test_plugins_of_one_folder_do_not_import_the_plugin_module():
    """``plugin.py`` is the door for the registry; nothing else goes through it."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES.values()
        for line, imported in imports(path)
        if ours(imported) and imported.endswith(".plugin")
    ]
    assert wrong == []


def test_heavy_libraries_are_imported_where_they_are_used():
    """In functions; a module that cannot do without (subclasses of Keras layers) is itself imported in functions."""
    at_top = {module: [name for _, name in imports(path, functions=False)] for module, path in MODULES.items()}
    heavy = {module for module, names in at_top.items() if {name.partition(".")[0] for name in names} & set(SLOW)}
    wrong = [f"{m} imports {n}" for m, names in at_top.items() if m not in heavy for n in names if n in heavy]
    assert wrong == []
    assert not {module for module in heavy if house(module) in ("hepflow", "hepflow.streams")}


def test_modules_say_what_they_are_for_and_stay_small():
    for path in MODULES.values():
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(source(path)) or not text, f"{path} says nothing of what it is for"
        assert text.count("\n") < 600, f"{path} is long"


def test_public_names_of_the_front_door_exist():
    import hepflow

    for name in hepflow.__all__:
        assert getattr(hepflow, name) is not None
    assert set(hepflow.__all__) < set(dir(hepflow))
    with pytest.raises(AttributeError, match="no attribute 'Jobb'"):
        hepflow.Jobb  # noqa: B018


# ── what is imported when ────────────────────────────────────────────────────────────────────────────────────────────


def loaded(statement: str, names: Sequence[str]) -> list[str]:
    """Return which of the libraries are loaded after a statement in a fresh interpreter."""
    script = f"{statement}\nimport sys\nprint('loaded:', *(n for n in {tuple(names)!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("loaded:")[2].split()


def command(*words: str) -> str:
    """A statement that runs a command of the command line and goes on."""
    return (
        f"import sys\nfrom hepflow.cli import main\nsys.argv = {['hepflow', *words]!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )


@pytest.mark.parametrize("statement", ["import hepflow", "import hepflow.cli", command("--help")])
def test_front_door_and_help_load_nothing_heavy(statement):
    assert loaded(statement, [*HEAVY, "numpy", "pluggy", "rich.table"]) == []


@pytest.mark.parametrize(
    "statement",
    [
        command("list", "tools"),
        command("list", "streams"),
        command("describe", "NtupleStream"),
        "from hepflow import Events, Job, Tool, Stream",
    ],
)
def test_listing_and_declaring_load_nothing_heavy(statement):
    assert loaded(statement, HEAVY) == []


def test_every_tool_and_stream_can_be_imported_without_the_slow_ones():
    statement = (
        "from hepflow.registry.manager import registry\n"
        "for kind in ('tools', 'streams', 'readers', 'executors'):\n"
        "    for named in registry().names(kind).values():\n"
        "        named.load()"
    )
    assert loaded(statement, SLOW) == []
