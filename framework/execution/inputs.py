"""From what the user gives with ``-i`` to a list of files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hepflow.errors import InputError, many, nearest
from hepflow.io.trees import split_called
from hepflow.registry.manager import Registry

__all__ = ["InputFile", "expand", "formats", "read_list", "split_tree"]

_NAMED = re.compile(r"^([A-Za-z_][\w.+-]*)=(.+)$")
_SCHEME = re.compile(r"^([a-z][a-z0-9+]*):")
_COMMENT = re.compile(r"(^|\s)#.*")
_TREE = re.compile(r"(?P<file>[^?#]+\.root[^/:?#]*):(?P<tree>[^:?#]+)(?P<query>[?#].*)?")
_WORD = re.compile(r'"([^"]+)"|(\S+)')
_REMOTE = ("root", "http", "https", "file", "s3", "gs", "xroot", "xrootd")


@dataclass(frozen=True)
class InputFile:
    """One input: its path, URL or generator, the sample it belongs to, whether it was found by searching a folder, and
    the tree to read where the user chose one, and what its rows are called (``TREE=ROWS``). ``replicas`` are read where
    it cannot be; ``origin`` is the line of a list that names it.

    A file that is not made yet is planned with the columns of another one, ``like``, and with ``entries``.
    """

    path: str
    sample: str
    searched: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tree: str = ""
    like: str = ""
    entries: int = 0
    replicas: tuple[str, ...] = ()
    origin: str = ""


def formats(plugins: Registry) -> tuple[type[Any], ...]:
    """Return the reader classes of all plugins."""
    return tuple(named.load() for named in plugins.names("readers").values())


def split_tree(pattern: str) -> tuple[str, str]:
    """Return the file, glob, folder or URL of a ``FILE:TREE``, and the tree; "" where none is named.

    A file with a colon in its name goes first.

    >>> split_tree("https://host/f.root:folder/tree?key=1")
    ('https://host/f.root?key=1', 'folder/tree')
    """
    if Path(pattern).expanduser().exists():
        return pattern, ""
    if "://" not in pattern:
        for colon in re.finditer(":", pattern):
            file, tree = pattern[: colon.start()], pattern[colon.end() :]
            if tree and (_is_glob(file) or Path(file).expanduser().exists()):
                return file, tree
    match = _TREE.fullmatch(pattern)
    return (match["file"] + (match["query"] or ""), match["tree"]) if match else (pattern, "")


def expand(
    patterns: Sequence[str],
    plugins: Registry,
    schemes: Sequence[str],
    make_sample: Callable[[str], Sequence[InputFile]],
    tree: str = "",
) -> list[InputFile]:
    """Return the files of all patterns, in order; InputError where one matches nothing or a file comes twice.

    A pattern is a file, a glob, a folder (searched recursively for ROOT files), a URL, each with an optional ``:TREE``
    or ``:TREE=ROWS`` behind it, a generator (``pythia:Gammatautau``), the name of a sample, or a list (``@FILES.txt``,
    see ``read_list``); with an optional ``NAME=`` in front.
    ``tree`` says tree and rows where a pattern does not.
    """
    files: list[InputFile] = []
    samples = plugins.names("samples")
    for text in patterns:
        _check_name(text)
        match = None if Path(text).exists() else _NAMED.match(text)
        name, pattern = (match.group(1), match.group(2)) if match else ("", text)
        if pattern in samples and not Path(pattern).exists():
            made = make_sample(pattern)
            files += [replace(f, sample=name or f.sample) for f in made]
        elif pattern.startswith("@") and not Path(pattern).exists():
            files += read_list(Path(pattern[1:]).expanduser(), name)
        else:
            files += _expand_one(pattern, name, schemes, list(samples))
    files = [replace(file, tree=_completed(file.tree, tree)) for file in files]
    seen: dict[str, set[str]] = {}
    for file in files:
        chosen, _ = split_called(file.tree)
        same = os.path.realpath(file.path) if "://" not in file.path else file.path
        others = seen.setdefault(same, set())
        if others and (chosen in others or not chosen or "" in others):
            raise InputError(
                f"the input {file.path} is given twice",
                where=file.origin,
                hint="its events would be counted twice; leave one out, or name the tree of each: FILE:TREE",
            )
        others.add(chosen)
    return files


def hard_links(files: Iterable[InputFile]) -> list[str]:
    """Return a note where inputs are hard links of one file: they may be meant, as copies are."""
    first: dict[tuple[int, int], str] = {}
    again: list[str] = []
    for file in files:
        try:
            state = os.stat(file.path)  # noqa: PTH116 - there may be many
        except OSError:  # a URL, or one that is told when it is opened
            continue
        if first.setdefault((state.st_dev, state.st_ino), file.path) != file.path:
            again.append(file.path)
    if not again:
        return []
    others = f" (and {many(len(again) - 1, 'more name')})" if len(again) > 1 else ""
    return [f"{again[0]}{others} is a hard link of another input: the same events count again"]


def _completed(tree: str, usual: str) -> str:
    """Return a ``TREE=ROWS``, each part as given, else as usual.

    >>> _completed("HH", "nominal=tree")
    'HH=tree'
    """
    (own, called), (other, rows) = split_called(tree), split_called(usual)
    return "=".join([own or other, *filter(None, [called or rows])])


def _check_name(text: str) -> None:
    """Raise InputError for what no file can be called."""
    try:
        Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"there is no input {text[:80]!r}…: {reason}", hint="give a file, a folder or a URL"
        ) from error


def read_list(path: Path, name: str = "") -> list[InputFile]:
    """Return the files that the lines of a list name, each with its replicas behind it, separated by blanks
    (a name with blanks in ``"``).

    Paths are relative to the folder of the list; ``:TREE`` may stand behind the file. What follows a ``#`` at the
    beginning or behind a blank is a comment. The sample is ``name``, else that of the list. InputError names the
    line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        folder = path.parent
        beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        hint = nearest(path.name, beside, what="files there") if isinstance(error, FileNotFoundError) else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the list of inputs {path} cannot be read: {reason}", hint=hint) from error
    files = []
    for number, line in enumerate(lines, start=1):
        words = [quoted or word for quoted, word in _WORD.findall(_COMMENT.sub("", line))]
        if words:
            files.append(_of_line(words, path, f"{path}, line {number}", name or path.stem))
    if not files:
        raise InputError(f"the list of inputs {path} names no file", hint="a line is a file, behind it its replicas")
    return files


def _of_line(words: Sequence[str], path: Path, origin: str, name: str) -> InputFile:
    places = []
    for word in words:
        place, tree = split_tree(word if "://" in word else str(path.parent / Path(word).expanduser()))
        if _is_glob(place) and "://" not in place and not Path(place).exists():
            raise InputError(f"{word!r} in a list is a pattern, not a file", where=origin, hint=f"-i {word!r}")
        if Path(place).is_dir():
            raise InputError(f"{word!r} in a list is a folder, not a file", where=origin,
                             hint=f"-i {word!r}; a name with blanks stands in \"…\"")  # fmt: skip
        places.append((place, tree))
    (first, tree), replicas = places[0], [place for place, _ in places[1:]]
    if any(other not in ("", tree) for _, other in places[1:]):
        raise InputError(
            "the replicas of a file have its tree", where=origin, hint="name the tree behind the file only"
        )
    if len({first, *replicas}) < len(words):
        raise InputError("a file is named twice in a line", where=origin, hint="replicas are copies elsewhere")
    return InputFile(first, name, tree=tree, replicas=tuple(replicas), origin=origin)


def _expand_one(pattern: str, name: str, schemes: Sequence[str], samples: Sequence[str]) -> list[InputFile]:
    scheme = _SCHEME.match(pattern)
    generated = scheme is not None and scheme.group(1) in schemes
    pattern, tree = (pattern, "") if generated else split_tree(pattern)
    if generated or (scheme and scheme.group(1) in _REMOTE):
        last = pattern.rstrip("/").rpartition("/")[2].rpartition(":")[2]
        return [InputFile(pattern, name or re.split(r"[?#]", last)[0], tree=tree)]
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*.root*")) if p.is_file() and not _hidden(p.relative_to(path))]
        if not found:
            hint = "files are found as *.root*, also in sub-folders"
            if any(path.glob(".hepflow")):  # of a run, whose files are hidden until all are there
                hint = "a run writes there, or was interrupted: wait for it, or continue it with hepflow run … --resume"
            raise InputError(f"the folder {pattern} holds no ROOT files", hint=hint)
        return [InputFile(str(p), name or path.resolve().name, searched=True, tree=tree) for p in found]
    if _is_glob(pattern) and not path.exists():
        matched = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matched:
            raise InputError(f"the pattern {pattern!r} matches no file", where=str(Path.cwd()))
        return [replace(file, tree=tree) for match in matched for file in _expand_one(match, name, (), ())]
    if not path.exists():
        folder = path.parent
        beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        if scheme:
            hint = nearest(scheme.group(1), [*schemes, *_REMOTE], what="input schemes")
        else:
            hint = nearest(path.name, [*beside, *samples], what="files here and samples")
        if path.is_symlink():
            raise InputError(f"the link {pattern!r} leads nowhere", where=str(Path(os.path.abspath(path))))  # noqa: PTH100
        name, equals, behind = pattern.partition("=")
        if equals and (behind in samples or Path(behind).exists()):
            hint = (
                f"the name of a sample has letters, digits and . _ + - only: {re.sub(r'[^A-Za-z0-9.+-]+', '_', name)}"
            )
        raise InputError(f"there is no input {pattern!r}", where=str(folder.resolve()), hint=hint)
    return [InputFile(str(path), name or path.resolve().parent.name, tree=tree)]


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
