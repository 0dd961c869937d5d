"""Pages of the documentation site that come from the code: reference of everything that has a name, and the texts that
stand in the root of the repository. A hook of mkdocs (``mkdocs build``).
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from hepflow.cli import COMMANDS, hepflow
from hepflow.errors import HepflowError, JobOptionsError
from hepflow.expressions import evaluation, syntax
from hepflow.job import Option
from hepflow.joboptions import load_joboptions, shipped_joboptions
from hepflow.properties import Configurable
from hepflow.registry.manager import registry
from hepflow.registry.variables import named_variable
from hepflow.tool import Tool

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = (
    "hepflow",
    "hepflow.execution",
    "hepflow.plots",
    "hepflow.plots.figures",
    "hepflow.expressions",
    "hepflow.errors",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, the figures of the gallery, the notebooks."""
    made: dict[str, str | bytes] = {name: make() for name, make in PAGES.items()}
    for name, content in {**made, **_gallery(), **_notebooks()}.items():
        files.append(File.generated(config, name, content=content))
    return files


# ── cells of Python: the gallery and the notebooks ───────────────────────────────────────────────────────────────────


def _cells(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (what stands behind ``# %%``, text) of the cells of a file."""
    for part in re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        yield title.strip(), text.strip()


def _gallery() -> dict[str, str | bytes]:
    """Return the page of figures with the lines that make them: each cell ends with what is shown."""
    known: dict[str, Any] = {}
    page = (
        "# Gallery\n\nEach figure with the code that makes it; cells use objects of the cells above. "
        "Plot tools draw the figures of a run in the same way: [Plots and reports](plots.md).\n"
    )
    pictures: dict[str, str | bytes] = {}
    for number, (title, text) in enumerate(_cells(ROOT / "docs" / "gallery.py"), start=1):
        *lines, last = ast.parse(text).body
        exec(compile(ast.Module(lines, []), title, "exec"), known)  # noqa: S102 - a file of this folder
        assert isinstance(last, ast.Expr)
        figure = eval(compile(ast.Expression(last.value), title, "eval"), known)  # noqa: S307
        pictures[f"gallery/{number}.png"] = figure._repr_png_()
        page += f"\n## {title}\n\n![{title}](gallery/{number}.png)\n\n```python\n{text}\n```\n"
    return {"gallery.md": page, **pictures}


def _notebooks() -> dict[str, str | bytes]:
    """Return the notebooks, and the page that shows them."""
    page = (
        "# Notebooks\n\nThree notebooks that run as they are, in Jupyter from a checkout (`pip install jupyterlab`, "
        "then `jupyter lab docs/notebooks`), or as Python programs. Their first cell installs what they need.\n"
    )
    found: dict[str, str | bytes] = {}
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.py")):
        cells = [*_cells(path)]
        found[f"downloads/{path.stem}.ipynb"] = _ipynb(cells)
        page += f"\n[{path.stem}.ipynb](downloads/{path.stem}.ipynb){{ download }}\n"
        for kind, text in cells:
            prose = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
            page += f"\n{prose.replace('# ', '## ', 1)}\n" if kind == "[markdown]" else f"\n```python\n{text}\n```\n"
    return {"notebooks.md": page, **found}


def _ipynb(cells: list[tuple[str, str]]) -> str:
    """Return a notebook: percent lines (``# %pip``) are commands of Jupyter."""
    made = []
    for number, (kind, text) in enumerate(cells):
        if kind == "[markdown]":
            source = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
            made.append({"cell_type": "markdown", "id": str(number), "metadata": {}, "source": source})
            continue
        source = re.sub(r"^# (?=[%!])", "", text, flags=re.MULTILINE)
        code = {"cell_type": "code", "id": str(number), "metadata": {}, "source": source}
        made.append({**code, "execution_count": None, "outputs": []})
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": made, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1)


# ── texts of the root ────────────────────────────────────────────────────────────────────────────────────────────────


def _root(name: str) -> str:
    """Return a text of the root folder with links that hold on the site."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = text.replace("(docs/notebooks)", "(notebooks.md)")
    return re.sub(r"(\[[^\]]*\])\(docs/([\w-]+\.(md|png))", r"\1(\2", text).replace("[docs/", "[")


# ── what has a name ──────────────────────────────────────────────────────────────────────────────────────────────────


def _classes(kind: str, title: str, intro: str) -> str:
    names = registry().names(kind)
    parts = [f"# {title}\n\n{intro}\n"]
    for name, named in names.items():
        parts += [f"\n## {name}\n\n```python\nfrom {named.target.partition(':')[0]} import {name}\n```\n"]
        parts += _described(named.load())
    return "\n".join(parts)


def _described(cls: type[Configurable]) -> Iterator[str]:
    yield f"{_prose(inspect.getdoc(cls) or '')}\n"
    rows = [(f"`{prop.name}`", prop.type_name, f"`{prop.default!r}`", _doc(prop)) for prop in cls.properties().values()]
    yield _table(("property", "type", "default", "what it does"), rows) if rows else "No properties.\n"
    if not issubclass(cls, Tool):
        return
    try:
        tool = cls()
        tool.freeze()
        columns = {"Reads": tool.reads(), "Writes": tool.writes()}
    except HepflowError:
        yield "What it reads and writes depends on its properties.\n"
        return
    for word, found in columns.items():
        if found:
            yield f"{word} {', '.join(f'`{name}`' for name in found)}.\n"


def _doc(prop: Any) -> str:
    unit = f" [{prop.unit}]" if prop.unit else ""
    return prop.doc + unit + (f"; one of {', '.join(map(str, prop.choices))}" if prop.choices else "")


def _settings(kind: str, title: str, intro: str) -> str:
    """Return architectures, engines: what they are, and what may be set in their files."""
    parts = [f"# {title}\n\n{intro}\n"]
    for name, named in registry().names(kind).items():
        found = named.load()
        rows = [
            (f"`{key}`", "" if one.default is None else f"`{one.default!r}`", one.told)
            for key, one in getattr(found, "KEYS", {}).items()
        ]
        parts += [f"\n## {name}\n\n{_prose(inspect.getdoc(found) or '')}\n"]
        parts += [_table(("setting", "default", "is"), rows)] if rows else []
    return "\n".join(parts)


def _jobs() -> str:
    parts = ["# Jobs that ship\n\n`hepflow run NAME` runs one; copy the file and change it to make your own.\n"]
    for name, path in shipped_joboptions(registry()).items():
        text = path.read_text(encoding="utf-8")
        options, needed = dict[str, Option](), ""
        try:
            load_joboptions(path, declared=options)
        except JobOptionsError as error:  # of a job that has no use without options
            needed = f"\nNot configured without options: {error.message}.\n"
        rows = [(f"`--{key}`", one.type_name, f"`{one.default!r}`", _doc_of(one)) for key, one in options.items()]
        parts += [f"\n## {name}\n\n{_prose(ast.get_docstring(ast.parse(text)) or '')}\n"]
        parts += [_table(("option", "type", "default", "what it does"), rows)] if rows else []
        parts += [needed, f"```python\n{text}```\n"]
    return "\n".join(parts)


def _doc_of(option: Any) -> str:
    return option.doc + (f"; one of {', '.join(map(str, option.choices))}" if option.choices else "")


def _commands() -> str:
    parts = ["# Commands\n"]
    context = click.Context(hepflow, info_name="hepflow")
    for name in COMMANDS:
        command = hepflow.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=f"hepflow {name}", max_content_width=100)
        parts += [f"\n## {name}\n\n```text\n{command.get_help(inner)}\n```\n"]
    return "\n".join(parts)


def _variables() -> str:
    known = registry()
    rows = []
    for name in known.names("variables"):
        one = named_variable(name, known)
        rows.append((f"`{name}`", one.label, one.unit, f"`{one.column}`", ", ".join(filter(None, one.binnings))))
    intro = "What `hepflow plot` and the plot tools know by name; any other text is an [expression](expressions.md)."
    return f"# Variables\n\n{intro}\n\n" + _table(("name", "label", "unit", "column", "binnings"), rows)


def _expressions() -> str:
    parts = ["# Expressions\n", _prose(inspect.getdoc(syntax) or ""), "\n", _prose(inspect.getdoc(evaluation) or "")]
    names = ", ".join(f"`{name}`" for name in sorted(syntax.FUNCTIONS))
    return "\n".join([*parts, f"\n## Functions\n\n{names}\n", "::: hepflow.expressions\n"])


def _inputs() -> str:
    known = registry()
    recipes = {name: named.load() for name, named in known.names("samples").items()}
    samples = [(f"`{name}`", recipe.doc, f"{recipe.events:,}") for name, recipe in recipes.items()]
    formats = [(f"`{name}`", named.summary()) for name, named in known.names("readers").items()]
    return "\n".join(
        [
            "# Samples and formats\n\n## Samples\n",
            _table(("name", "what it is", "events"), samples),
            "\n## Formats that are read\n",
            _table(("name", "what it is"), formats),
        ]
    )


def _api() -> str:
    parts = ["# Python API\n\nWhat `hepflow` and its rooms offer by name; all of it has types.\n"]
    for module in PUBLIC:
        loaded = __import__(module, fromlist=["__all__"])
        names = [name for name in loaded.__all__ if not inspect.ismodule(getattr(loaded, name))]
        parts += [f"\n## {module}\n"]
        parts += [f"::: {_home(getattr(loaded, name), module, name)}\n" for name in sorted(names) if name != "hookimpl"]
    return "\n".join(parts)


def _home(found: Any, module: str, name: str) -> str:
    home = getattr(found, "__module__", module)
    return f"{home}.{getattr(found, '__name__', name)}" if str(home).startswith("hepflow") else f"{module}.{name}"


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _prose(text: str) -> str:
    """Return a docstring as Markdown: code in one backtick, no roles."""
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(_prose(text).replace("|", "&#124;").split())


PAGES: dict[str, Callable[[], str]] = {
    "index.md": lambda: _root("README.md"),
    "contributing.md": lambda: _root("CONTRIBUTING.md"),
    "changelog.md": lambda: _root("CHANGELOG.md"),
    "reference/commands.md": _commands,
    "reference/jobs.md": _jobs,
    "reference/tools.md": lambda: _classes("tools", "Tools", "`hepflow describe NAME` shows the same in a terminal."),
    "reference/streams.md": lambda: _classes("streams", "Streams", "Outputs of a job, with the tools that feed them."),
    "reference/executors.md": lambda: _classes(
        "executors", "Executors", "Where work units run: `--executor NAME --set NAME.Property=value`, or the site file."
    ),
    "reference/architectures.md": lambda: _settings(
        "architectures", "Architectures", "Networks that an Arch file names; `hepflow describe NAME` shows one."
    ),
    "reference/engines.md": lambda: _settings("engines", "Engines", "What trains: `Engine` of a trainer."),
    "reference/variables.md": _variables,
    "reference/expressions.md": _expressions,
    "reference/inputs.md": _inputs,
    "reference/api.md": _api,
}
