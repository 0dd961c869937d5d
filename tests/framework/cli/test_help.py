"""The command line as a whole: help, unknown commands, imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = ("run", "plan", "list", "describe", "inspect", "merge", "plot", "report", "doctor")


def test_help_lists_the_commands_in_order(hepflow):
    out = hepflow("--help").fine().out
    places = [out.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(hepflow, command):
    out = hepflow(command, "--help").fine().out
    assert out.startswith(f"Usage: hepflow {command}")
    assert "--debug" in out
    assert "no:NAME" in out


def test_commands_of_the_table_without_an_import_string_are_brought_by_plugins():
    from hepflow.cli import COMMANDS as TABLE
    from hepflow.registry.manager import registry

    brought = registry().names("commands")
    without = {name for name, (target, _) in TABLE.items() if not target}
    assert without == {name for name, named in brought.items() if named.plugin == "performance"}


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom hepflow.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "click" in loaded
    heavy = {"numpy", "awkward", "uproot", "rich", "pluggy", "yaml", "scipy", "onnxruntime", "tensorflow", "matplotlib"}
    assert loaded & heavy == set()
    ours = {name for name in done.stderr.split() if name.startswith("hepflow")}
    assert ours <= {"hepflow", "hepflow.cli", "hepflow.errors", "hepflow.lazy"}


def test_listing_loads_no_heavy_library():
    code = (
        "import sys\nfrom hepflow.cli import main\n"
        "try:\n    main(['list', 'tools'])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert "TauSelection" in done.stdout
    heavy = {"uproot", "tensorflow", "keras", "onnxruntime", "matplotlib", "pythia8mc", "xgboost"}
    assert heavy & set(done.stderr.split()) == set()


def test_version(hepflow):
    import hepflow as package

    assert hepflow("--version").fine().out == f"hepflow {package.__version__}\n"


def test_unknown_command_names_the_nearest(hepflow):
    hepflow("rnu").failed("there is no command 'rnu'", "did you mean 'run'?", status=2)


def test_unknown_option(hepflow):
    hepflow("--hlep").failed("--hlep", status=2)


def test_plugins_can_be_switched_off(hepflow):
    assert "TauSelection" not in hepflow("list", "tools", "-p", "no:tau").fine().out
    hepflow("list", "tools", "-p", "no:tua").failed("-p no:tua: there is no plugin 'tua'", "did you mean 'tau'?")
    hepflow("list", "tools", "-p", "tau").failed("'tau' is not of the form no:NAME", status=2)
