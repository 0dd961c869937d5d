"""What a run directory holds, read from its files alone; damaged files are named and left out."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hepflow.errors import InputError, many
from hepflow.plugins.performance.report.tables import Table, plot_tables

__all__ = ["Contents", "Picture", "pictures_of", "read_run", "spoken"]

STATE = ".hepflow"
CUTFLOW = {"stream", "tool", "container", "selection", "before", "after"}


@dataclass(frozen=True)
class Picture:
    """A figure of the run: its files, what its JSON says of it, and what is wrong with them.

    ``path`` is that of the files without suffix, relative to the run directory; a file that is missing or damaged is
    None. ``pixels`` are width and height of the PNG, ``by`` is the tool that drew it and the place among its figures.
    """

    path: Path
    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    problems: tuple[str, ...] = ()
    png: Path | None = None
    pixels: tuple[int, int] = (0, 0)
    pdf: Path | None = None
    json: Path | None = None
    by: tuple[str, int] = ("", 0)

    @property
    def group(self) -> str:
        """Return the folder of the figure, empty for the run directory itself."""
        return "" if self.path.parent == Path() else self.path.parent.as_posix()


@dataclass(frozen=True)
class Contents:
    """A run directory, read: what its files say, in ``problems`` which of them could not be read, in ``warnings`` what
    the run remarked.
    """

    directory: Path
    provenance: Mapping[str, Any]
    cutflow: tuple[Mapping[str, Any], ...]
    joboptions: str
    pictures: tuple[Picture, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def job(self) -> str:
        """Return the name of the job."""
        return str(self.provenance.get("job") or self.directory.resolve().name)

    @property
    def paragraphs(self) -> list[str]:
        """Return what the job says of itself: the paragraphs of the docstring of its job options."""
        try:
            text = ast.get_docstring(ast.parse(self.joboptions)) or ""
        except (SyntaxError, ValueError):
            return []
        return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]

    @property
    def groups(self) -> dict[str, list[Picture]]:
        """Return the figures by folder."""
        groups: dict[str, list[Picture]] = {}
        for picture in self.pictures:
            groups.setdefault(picture.group, []).append(picture)
        return groups


def read_run(directory: Path) -> Contents:
    """Read a run directory: ``provenance.json``, ``cutflow.json``, ``joboptions.py`` and the figures.

    InputError where it is none: no folder, or one with neither provenance nor figures. Files that are damaged are
    named in ``problems``, those of a figure in the figure's own.
    """
    if not directory.is_dir():
        raise InputError(f"there is no run directory {directory}", hint="give the folder that hepflow run wrote (-o)")
    problems: list[str] = []
    provenance = _read_json(directory / "provenance.json", problems)
    if not isinstance(provenance, dict):
        _complain(problems, provenance is not None, "provenance.json does not describe a run")
        provenance = {}
    cutflow = _read_json(directory / "cutflow.json", problems) or []
    if not isinstance(cutflow, list) or not all(isinstance(row, dict) and row.keys() >= CUTFLOW for row in cutflow):
        problems.append("cutflow.json does not hold a cutflow")
        cutflow = []
    pictures = _in_order(pictures_of(directory, _stems(directory)), provenance)
    if not provenance and not pictures and not (directory / STATE).is_dir():
        raise InputError(
            f"{directory} is no run directory: it has no provenance.json and no figures",
            hint="give the folder that hepflow run wrote (-o)",
        )
    try:
        joboptions = (directory / "joboptions.py").read_text(encoding="utf-8")
    except FileNotFoundError:  # a job that was run from Python
        joboptions = ""
    except (OSError, ValueError) as error:
        problems.append(f"joboptions.py cannot be read: {error}")
        joboptions = ""
    warnings = tuple(_warnings(provenance))
    return Contents(directory, provenance, tuple(cutflow), joboptions, pictures, tuple(problems), warnings)


def pictures_of(directory: Path, stems: Iterable[Path]) -> tuple[Picture, ...]:
    """Return figures by their paths without suffix, relative to the directory."""
    return _told_apart([_picture(directory, stem) for stem in stems])


def _warnings(provenance: Mapping[str, Any]) -> list[str]:
    """Return what the run remarked."""
    links = [f"{note['column']}: {many(note['links'], 'link')} {note['note']}" for note in provenance.get("notes", ())]
    return [*map(str, provenance.get("remarks", ())), *links]


def _complain(problems: list[str], wrong: bool, text: str) -> None:
    if wrong:
        problems.append(text)


def _read_json(path: Path, problems: list[str]) -> Any:
    """Return the content of a JSON file; where it cannot be read None, and a line in ``problems``."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"{path.name} is missing")
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read: {error}")
    return None


def _stems(directory: Path) -> set[Path]:
    """Return the figures as paths without suffix, relative to the directory: PNGs, and PDFs with a JSON beside."""
    files = {
        path.relative_to(directory)
        for path in directory.rglob("*")
        if path.suffix in (".png", ".pdf", ".json") and STATE not in path.relative_to(directory).parts
    }
    stems = {path.with_suffix("") for path in files if path.suffix == ".png"}
    return stems | {p.with_suffix("") for p in files if p.suffix == ".pdf" and p.with_suffix(".json") in files}


def _in_order(pictures: Iterable[Picture], provenance: Mapping[str, Any]) -> tuple[Picture, ...]:
    """Return the figures of the run directory itself, then folder by folder as the tools that drew them stand in the
    job (a tool draws into the folder of its name, or that of its property ``Folder``), then the others; those of a
    folder tool by tool, in the order of the tool.
    """
    tools: Mapping[str, Mapping[str, Any]] = provenance.get("properties", {})
    names, folders = [*tools], ["", *(str(values.get("Folder") or name) for name, values in tools.items())]

    def key(picture: Picture) -> tuple[int, int, int, list[tuple[int, str]]]:
        folder = picture.path.parts[0] if len(picture.path.parts) > 1 else ""
        tool, place = picture.by
        return (
            folders.index(folder) if folder in folders else len(folders),
            names.index(tool) if tool in names else len(names),
            place,
            _natural(picture.path.as_posix()),
        )

    return tuple(sorted(pictures, key=key))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key with which ``pt_2`` comes before ``pt_10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _picture(directory: Path, stem: Path) -> Picture:
    problems: list[str] = []
    png, pdf, numbers = (directory / f"{stem}{suffix}" for suffix in (".png", ".pdf", ".json"))
    pixels = _pixels(png, problems)
    described = _read_json(numbers, problems)
    if not isinstance(described, dict):
        _complain(problems, described is not None, f"{numbers.name} does not describe a figure")
        described = {}
    plots = described.get("plots")
    plots = [plot for plot in plots if isinstance(plot, dict)] if isinstance(plots, list) else []
    return Picture(
        stem,
        str(described.get("title") or _title(described, plots) or re.sub("[_-]", " ", stem.name)),
        tuple(_caption(described.get("style"), plots)),
        tuple(table for one in (described, *plots) for table in plot_tables(one)) + _shifts(described, plots),
        tuple(problems),
        png if pixels != (0, 0) else None,
        pixels,
        pdf if pdf.is_file() else None,
        numbers if numbers.is_file() else None,
        _by(described.get("by")),
    )


def _by(said: Any) -> tuple[str, int]:
    """Return which tool drew a figure, and its place among the tool's."""
    known = isinstance(said, Mapping) and isinstance(said.get("place"), int)
    return (str(said.get("tool")), said["place"]) if known else ("", 0)


def _shifts(described: Mapping[str, Any], plots: Sequence[Mapping[str, Any]]) -> tuple[Table, ...]:
    """Return tables of how far each variation moves the values of a figure, with the errors of that."""
    try:
        varied = described["variations"]["variations"]
        found = []
        for number, plot in enumerate(plots):
            shifts = {name: of["shifts"][number] for name, of in varied.items() if of["shifts"][number]}
            told = {name: {"value": one["values"], "error": one["errors"]} for name, one in shifts.items()}
            label = f"{plot.get('label')}: shifts" if plot.get("label") else "shifts"
            found += plot_tables({"label": label, "layout": plot.get("layout"), "derived": told})
        return tuple(found)
    except (KeyError, IndexError, TypeError, AttributeError):  # no variations, or not as hepflow writes them
        return ()


def spoken(name: str) -> str:
    """Return the name of a folder of figures as people would say it.

    >>> spoken("EfficiencyOfAllTruthTaus_1p0n"), spoken("roc"), spoken("stacks")
    ('Efficiency of all truth taus 1p0n', 'ROC', 'Stacks')
    """
    words = []
    for part in name.replace("/", " ").replace("_", " ").split():
        camel = re.findall("[A-Z][a-z]+", part)
        one_word = "".join(camel) != part or len(camel) < 2
        words.append(part if one_word else " ".join([camel[0], *(word.lower() for word in camel[1:])]))
    text = " ".join("ROC" if word.lower() == "roc" else word for word in words)
    return text[:1].upper() + text[1:]


def _told_apart(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Return the figures; those of a folder with one title say the names of their files, too."""
    titles = Counter((picture.group, picture.title) for picture in pictures)
    return tuple(
        replace(p, title=f"{p.title} ({p.path.name.replace('_', ' ')})") if titles[p.group, p.title] > 1 else p
        for p in pictures
    )


def _title(described: Mapping[str, Any], plots: Sequence[Mapping[str, Any]]) -> str:
    """Return what a figure shows as a person would call it; empty where that is not known."""
    first = plots[0] if plots else {}
    layout, options = (found if isinstance(found, dict) else {} for found in (first.get("layout"), _options(described)))
    axes = [_name(axis) for axis in layout.get("axes", [layout.get("axis")])]
    match first.get("type"):
        case "Histogram":
            return " against ".join(reversed(axes))
        case "EfficiencyProfile":
            return f"{layout.get('title', 'Efficiency')} against {axes[0]}"
        case "Profile":
            return f"Mean {_name(layout.get('response'))} against {axes[0]}"
        case "ResolutionProfile":
            return f"{_name(layout.get('response'))} ({options.get('mode', 'core')}) against {axes[0]}"
        case "MigrationMatrix":
            labels = " and ".join(str(plot["label"]) for plot in plots if plot.get("label"))
            return f"{labels or 'Matrix'}: {options.get('kind', 'efficiency')}"
        case "RocCurve" | "WorkingPoint":
            said = dict(line.partition(": ")[::2] for line in _lines(described.get("style")))
            named = [said[side].rpartition(" (")[0] for side in ("signal", "background") if side in said]
            return f"ROC: {' against '.join(named)}" if named else ""
    return ""


def _options(described: Mapping[str, Any]) -> Any:
    return described.get("options")


def _name(axis: Any) -> str:
    return str(axis.get("label") or axis.get("name") or "") if isinstance(axis, dict) else ""


def _lines(style: Any) -> list[str]:
    lines = style.get("lines") if isinstance(style, dict) else None
    return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []


def _caption(style: Any, plots: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines under a figure: sample and selection, what is compared, and the notes of what is drawn."""
    about = [style.get("text") if isinstance(style, dict) else "", *_lines(style)]
    labels = dict.fromkeys(str(plot["label"]) for plot in plots if plot.get("label"))
    notes = dict.fromkeys(str(plot["note"]) for plot in plots if plot.get("note"))
    found = [
        " · ".join(str(part) for part in about if part),
        ("; " if any(", " in label for label in labels) else ", ").join(labels) if len(labels) > 1 else "",
        *notes,
    ]
    return [line for line in found if line]


def _pixels(path: Path, problems: list[str]) -> tuple[int, int]:
    """Return width and height of a whole PNG; (0, 0) and a line in ``problems`` for one that is missing or damaged."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()
            return image.width, image.height
    except FileNotFoundError:
        problems.append(f"{path.name} is missing")
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: what Pillow raises for a damaged PNG
        problems.append(f"{path.name} is damaged: {error}".replace(str(path), path.name))
    return 0, 0
