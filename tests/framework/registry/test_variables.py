"""Variables by name: those of plugins, and expressions over columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hepflow.errors import PluginError, PropertyError
from hepflow.registry.manager import Registry
from hepflow.registry.variables import find_variable, named_variable
from hepflow.variables import Binning, Variable

PLUGIN = """
from hepflow import hookimpl

@hookimpl
def hepflow_variables():
    return {"Jets.mass": "thirdparty_v.variables:MASS", "Jets.width": "thirdparty_v.variables:WIDTH",
            "Jets.number": "thirdparty_v.variables:NUMBER"}
"""
VARIABLES = """
from hepflow.variables import Binning, Variable

MASS = Variable("Jets.mass", "Jets.m / 1000", label="m", unit="GeV",
                binnings={"default": Binning.regular(10, 0, 5), "wide": Binning.regular(4, 0, 50)})
WIDTH = Variable("Jets.width", label="width")
NUMBER = 3
"""


@pytest.fixture
def plugins(install):
    install("thirdparty_v", PLUGIN, files={"variables.py": VARIABLES})
    return Registry()


@pytest.mark.parametrize(
    ("text", "binning"),
    [
        ("Jets.mass", Binning.regular(10, 0, 5)),
        (" Jets.mass : wide ", Binning.regular(4, 0, 50)),
        ("Jets.mass:2;1;3", Binning.regular(2, 1, 3)),
        ("Jets.width:2;1;3", Binning.regular(2, 1, 3)),
        ("Jets.width", None),
    ],
)
def test_variables_of_a_plugin(plugins, text, binning):
    variable, found = find_variable(text, plugins)
    assert found == binning
    name = text.partition(":")[0].strip()
    assert variable is named_variable(name, plugins)
    assert variable.name == name


@pytest.mark.parametrize(
    ("text", "column", "binning"),
    [
        ("Jets.pt", "Jets.pt", None),
        ("Jets.pt / Jets.m:50;0;2", "Jets.pt / Jets.m", Binning.regular(50, 0, 2)),
        ("abs(Jets.eta) : 5;0;2.5", "abs(Jets.eta)", Binning.regular(5, 0, 2.5)),
    ],
)
def test_expressions_become_variables(plugins, text, column, binning):
    variable, found = find_variable(text, plugins)
    assert variable == Variable(column, label=column)
    assert found == binning


@pytest.mark.parametrize(
    ("text", "label", "unit"),
    [
        ("Missing ET [GeV]=Jets.pt:50;0;2", "Missing ET", "GeV"),
        ("ΔR: jets = Jets.pt : 50;0;2", "ΔR: jets", ""),
        ("η []=Jets.pt:50;0;2", "η", ""),
        ("Jets.pt == 2:50;0;2", "Jets.pt == 2", ""),
        ("more than 2=Jets.pt >= 2:50;0;2", "more than 2", ""),
    ],
)
def test_a_text_may_say_what_figures_call_the_variable(plugins, text, label, unit):
    variable, binning = find_variable(text, plugins)
    assert (variable.label, variable.unit, binning) == (label, unit, Binning.regular(50, 0, 2))
    assert variable.name.startswith("Jets.pt")
    assert find_variable("Mass=Jets.mass", plugins)[0] == replace(named_variable("Jets.mass", plugins), label="Mass")


def test_the_plugins_in_force_are_the_default():
    variable, binning = find_variable("TauJets.pt:low")
    assert (variable.name, variable.unit, binning) == ("TauJets.pt", "GeV", Binning.regular(20, 20, 100))


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("Jets.mass:wied", "Jets.mass has no binning 'wied'", "did you mean 'wide'.*NUMBER;LOW;HIGH"),
        ("Jets.mass:5;3;x", "'5;3;x' is no binning", "NUMBER;LOW;HIGH"),
        ("Jets.mas:wide", "Jets.mas is no known variable, so it has no binning 'wide'", "did you mean 'Jets.mass'"),
        ("Jets.width:log", "Jets.width has no binning 'log'", "NUMBER;LOW;HIGH"),
        ("Jetsmass", "what is 'Jetsmass'", "did you mean 'Jets.mass'"),
        ("zzz", "what is 'zzz'", "Container.column.*hepflow list variables"),
        ("Jets.pt +", "no expression", "hepflow list variables"),
        ("sqr(Jets.pt)", "no function 'sqr'", "did you mean 'sqrt'"),
        ("", "no expression", "hepflow list variables"),
        ("label = 1", "'1' has no column", "a comparison is =="),
    ],
)
def test_what_is_no_variable(plugins, text, reason, hint):
    with pytest.raises(PropertyError, match=rf"{reason}[\s\S]*hint: .*{hint}"):
        find_variable(text, plugins)


def test_what_a_plugin_calls_a_variable_must_be_one(plugins):
    with pytest.raises(PluginError, match=r"'Jets.number' is a int, not a Variable[\s\S]*thirdparty_v"):
        find_variable("Jets.number", plugins)
    with pytest.raises(PluginError, match=r"there is no variable 'Jets.mas'[\s\S]*did you mean 'Jets.mass'"):
        named_variable("Jets.mas", plugins)


def test_a_colon_in_a_quoted_name_starts_no_binning():
    variable, binning = find_variable("`tree.a:b` * 2:4;0;8")
    assert variable.column == "`tree.a:b` * 2"
    assert binning.edges == (0, 2, 4, 6, 8)
