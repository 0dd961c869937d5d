"""The trees of a ROOT file: which there are, and which one is read where the user does not say."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hepflow.errors import DamagedError, HepflowError, InputError, TreeError, many, nearest
from hepflow.io.pagelists import Cluster
from hepflow.io.pages import clusters_of

__all__ = [
    "RNTUPLE",
    "TTREE",
    "OpenTree",
    "choose_tree",
    "count_entries",
    "default_tree",
    "find_trees",
    "open_tree",
    "split_called",
]

TTREE = "TTree"
RNTUPLE = "ROOT::RNTuple"
KINDS = {"TTree": TTREE, "TNtuple": TTREE, "TNtupleD": TTREE, "ROOT::RNTuple": RNTUPLE}
"""Class of an object of a ROOT file → kind of tree."""

_FIRST = ("EventData", "CollectionTree", "tree")
"""Trees of an xAOD and of hepflow's ntuples: read also where other trees are beside them."""
_USUAL = ("Events", "Delphes", "events")
"""Trees of NanoAOD, Delphes and EDM4hep, which have trees of metadata beside them."""
_CALLED = re.compile(r"(.*)=([A-Za-z_]\w*)")


@dataclass(frozen=True)
class OpenTree:
    """One tree of an open ROOT file: its name there (``folder/tree``), its kind, uproot's object, and what its rows are
    called where that is not the name of the tree. ``clusters`` are those of an RNTuple, and
    ``known`` is where to keep what is worked out of its fields, for all files with the same.
    """

    file: Any
    name: str
    kind: str
    tree: Any
    called: str = ""
    clusters: tuple[Cluster, ...] = ()
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> str:
        """Return the name of the tree without its folder."""
        return self.name.rpartition("/")[2]

    def close(self) -> None:
        """Close the file. The parts of a TTree, which know each other, are taken apart: else they stay until Python
        looks for garbage.
        """
        self.file.close()
        parts = [self.tree] if self.kind == TTREE else []
        while parts:
            content = vars(parts.pop())
            parts += content.get("_members", {}).get("fBranches", ())
            content.clear()


def split_called(wanted: str) -> tuple[str, str]:
    """Return the tree of a ``[TREE][=NAME]``, and what its rows are called; "" where it does not say.

    >>> split_called("folder/HH=tree"), split_called("=tree"), split_called("HH")
    (('folder/HH', 'tree'), ('', 'tree'), ('HH', ''))
    """
    match = _CALLED.fullmatch(wanted)
    return (match[1], match[2]) if match else (wanted, "")


def find_trees(path: str, file: Any) -> dict[str, str]:
    """Return name → kind of all trees of an open ROOT file, those in folders (``folder/tree``) included."""
    return {name: KINDS[found] for name, found in _classes(path, file, recursive=True).items() if found in KINDS}


def default_tree(trees: Mapping[str, str]) -> str | None:
    """Return the tree that is read without a choice: one with a name that is known for its events, or the only one.

    Numbers of entries do not count: events that passed no selection would make metadata the events.
    """
    known = [name for name in _FIRST if name in trees][:1] or [name for name in _USUAL if name in trees]
    candidates = known or list(trees)
    return candidates[0] if len(candidates) == 1 else None


def choose_tree(path: str, file: Any, wanted: str = "") -> str:
    """Return the name of the tree to read: the wanted one, or the default; InputError where there is none, or several
    without a choice.
    """
    top = _classes(path, file, recursive=False)
    first = wanted or next((name for name in _FIRST if top.get(name) in KINDS), "")
    if top.get(first) in KINDS:
        return first  # without a look into the folders of the file
    trees = find_trees(path, file)
    if wanted:
        if wanted.strip("/") in trees:
            return wanted.strip("/")
        raise _no_such_tree(path, file, wanted, trees)
    name = default_tree(trees) or ""
    if not name:
        raise _no_default(path, file, trees)
    return name


def count_entries(path: str, file: Any, trees: Mapping[str, str]) -> dict[str, int]:
    """Return name → number of entries of trees; DamagedError where one cannot be opened."""
    return {name: int(open_tree(path, file, name).tree.num_entries) for name in trees}


def open_tree(path: str, file: Any, name: str) -> OpenTree:
    """Open a tree of a ROOT file; an RNTuple compares its checksums as it is read. DamagedError where that fails."""
    try:
        with _uncollected():
            tree = file[name]
        kind = KINDS[tree.classname]
        clusters, known = clusters_of(tree) if kind == RNTUPLE else ((), {})
    except HepflowError:
        raise
    except Exception as error:
        raise DamagedError(
            f"the tree {name} cannot be opened: {type(error).__name__}: {error}", where=path, hint="the file is damaged"
        ) from error
    return OpenTree(file, name, kind, tree, clusters=clusters, known=known)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let Python not look for garbage: a tree has a hundred thousand parts, all of which stay, and looking for some
    among them again and again takes a third of the time to open it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _classes(path: str, file: Any, *, recursive: bool) -> dict[str, str]:
    """Return name → class of what lies in an open ROOT file (the newest cycle of each)."""
    try:
        return dict(file.classnames(recursive=recursive, cycle=False))
    except Exception as error:
        raise DamagedError(
            f"the contents of this file cannot be listed: {error}", where=path, hint="the file is damaged"
        ) from error


def _no_such_tree(path: str, file: Any, wanted: str, trees: Mapping[str, str]) -> InputError:
    found = _classes(path, file, recursive=True).get(wanted.strip("/"))
    hint = nearest(wanted, trees, what="trees")
    if found is None:
        return InputError(f"there is no tree {wanted!r} in this file", where=path, hint=hint)
    return InputError(f"{wanted} is no tree, but a {found}", where=path, hint=_of_chain(found) or hint)


def _no_default(path: str, file: Any, trees: Mapping[str, str]) -> InputError:
    if trees:
        counts = count_entries(path, file, trees)
        shown = ", ".join(f"{name} ({many(count, 'entry')})" for name, count in counts.items())
        return TreeError(
            f"this file holds {len(trees)} trees, say which to read: {shown}",
            where=path,
            hint=f"FILE:TREE names one, as in {path}:{next(iter(trees))}; --tree TREE names it for all inputs",
        )
    keys = _classes(path, file, recursive=True)
    chain = next((hint for found in keys.values() if (hint := _of_chain(found))), "")
    listed = ", ".join(f"{name} ({kind})" for name, kind in sorted(keys.items())[:20]) or "nothing"
    return InputError(f"this ROOT file holds no tree that hepflow reads, but {listed}", where=path, hint=chain)


def _of_chain(found: str) -> str:
    return "a TChain is a list of other files: give these with -i" if found == "TChain" else ""
