"""Variables by name: ``TauJets.pt:log`` is a variable that a plugin brings, in one of its binnings; any other text is
an expression over columns.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from hepflow.errors import PluginError, PropertyError, nearest
from hepflow.expressions import Expression
from hepflow.registry.manager import Registry, registry
from hepflow.variables import Binning, Variable

__all__ = ["find_variable", "named_variable", "split_binning", "split_title"]

_TITLE = re.compile(r"([^=<>!`]+)=(?!=)(.*)", re.DOTALL)
_UNIT = re.compile(r"(.*?)\s*(?:\[([^][]*)\])?", re.DOTALL)
_PARTS = re.compile(r"((?:`[^`]*`|::|[^`:])*)(?::(.*))?", re.DOTALL)


def find_variable(text: str, plugins: Registry | None = None) -> tuple[Variable, Binning | None]:
    """Return the variable that a text names, and its binning: None where neither text nor variable has one.

    The text is ``NAME``, ``NAME:BINNING`` or ``NAME:NUMBER;LOW;HIGH``; NAME is that of a variable that a plugin
    brings (``hepflow list variables``), or an expression over columns, which becomes a variable with itself as label.
    In front may stand what figures call it, and its unit: ``Missing ET [GeV]=tree.met:50;0;250``.
    PropertyError, with the nearest names, where it is neither, or where there is no such binning.
    """
    return _find(text, plugins or registry())


def split_title(text: str) -> tuple[str, str]:
    """Return what stands before the ``=`` of a text, empty where there is none, and what is behind it.

    >>> split_title("Missing ET [GeV]=tree.met:50;0;250"), split_title("tree.n == 2:2;0;2")
    (('Missing ET [GeV]', 'tree.met:50;0;250'), ('', 'tree.n == 2:2;0;2'))
    """
    match = _TITLE.fullmatch(text)
    return (match[1].strip(), match[2].strip()) if match else ("", text)


def split_binning(text: str) -> tuple[str, str]:
    """Return the name (or expression) and the binning of a text, empty where there is none; a colon in backticks
    belongs to the name, what stands before a ``=`` to neither.

    >>> split_binning("`tree.a:b` / 2:50;0;2")
    ('`tree.a:b` / 2', '50;0;2')
    """
    text = split_title(text)[1]
    match = _PARTS.fullmatch(text)
    return (match[1].strip(), (match[2] or "").strip()) if match else (text.strip(), "")


@lru_cache(maxsize=1024)
def _find(text: str, plugins: Registry) -> tuple[Variable, Binning | None]:
    title, rest = split_title(text)
    variable, binning = _named(rest, plugins)
    if title and not Expression(variable.column).columns:
        raise PropertyError(f"{variable.column!r} has no column", where=f"variable {text!r}", hint="a comparison is ==")
    if title and (match := _UNIT.fullmatch(title)):
        variable = replace(variable, label=match[1], unit=variable.unit if match[2] is None else match[2])
    return variable, binning


def _named(text: str, plugins: Registry) -> tuple[Variable, Binning | None]:
    name, view = split_binning(text)
    if view and re.fullmatch(r"[-+.\deE]+(,[-+.\deE]+){2}", view):
        raise PropertyError(f"{view!r} is no binning", hint=f"did you mean '{name}:{view.replace(',', ';')}'?")
    if name in plugins.names("variables"):
        variable = named_variable(name, plugins)
        return variable, variable.binning(view) if view or variable.binnings else None
    try:
        variable = Variable(name, label=Expression(name).text)
    except PropertyError as error:
        hint = nearest(name, plugins.names("variables"), what="variables")
        meant = hint.startswith("did you mean") and name.replace(".", "").isidentifier()
        hints = [hint] if meant else [error.hint, "hepflow list variables shows those with a name"]
        raise PropertyError(error.message, where=f"variable {text!r}", hint="; ".join(filter(None, hints))) from None
    if view and ";" not in view:
        hint = nearest(name, plugins.names("variables"), what="variables")
        raise PropertyError(
            f"{name} is no known variable, so it has no binning {view!r}", hint=f"{hint}; NUMBER;LOW;HIGH makes one"
        )
    return variable, Binning.parse(view) if view else None


def named_variable(name: str, plugins: Registry) -> Variable:
    """Return a variable that a plugin brings; PluginError, with the nearest names, where there is none."""
    variable = plugins.load("variables", name)
    if not isinstance(variable, Variable):
        named = plugins.names("variables")[name]
        raise PluginError(
            f"the variable {name!r} is a {type(variable).__name__}, not a Variable",
            where=f"plugin {named.plugin}, {named.target}",
        )
    return variable
