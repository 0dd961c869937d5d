"""The hook specifications are the documentation of the plugin interface: each is documented, typed and used."""

from __future__ import annotations

import inspect

from hepflow.registry import hooks
from hepflow.registry.manager import KINDS, Registry

SPECS = {name: value for name, value in vars(hooks).items() if name.startswith("hepflow_")}
RETURNS = ("Mapping[str, str]", "Sequence[Path]", "Mapping[str, Sequence[str]]")


def test_every_hook_says_what_it_returns():
    for name, function in SPECS.items():
        assert function.__doc__.startswith("Return "), name
        assert inspect.signature(function).return_annotation in RETURNS, name


def test_kinds_are_the_hooks_with_names():
    named = [n for n, f in SPECS.items() if inspect.signature(f).return_annotation == "Mapping[str, str]"]
    assert [f"hepflow_{kind}" for kind in KINDS] == named


def test_every_kind_can_be_asked_for():
    registry = Registry()
    for kind in KINDS:
        assert list(registry.names(kind)) == sorted(registry.names(kind))
    folders = [folder for kind in ("joboptions", "data") for folder in registry.folders(kind)]
    assert folders
    assert all(folder.is_dir() for folder in folders)


def test_everything_that_ships_can_be_imported_and_has_a_summary():
    registry = Registry()
    for kind in ("tools", "streams", "readers", "executors"):
        assert registry.names(kind), kind
        for name, named in registry.names(kind).items():
            assert inspect.isclass(named.load()), name
            assert len(named.summary()) > 15, name
