"""What the branches of a TTree hold: numbers, strings, links, lists of these, members of classes, leaf lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hepflow.io.cpptypes import LINK, STRING, describe_type
from hepflow.io.links import FILE_PARTS
from hepflow.io.opening import first_line
from hepflow.protocols import NO_VALUES

__all__ = ["class_name", "counter_of", "describe_branch", "is_element", "is_leaf_list", "keyed", "member", "walk"]

_LEAVES = {
    "O": "bool",
    "B": "int8",
    "S": "int16",
    "I": "int32",
    "L": "int64",
    "G": "int64",
    "F": "float32",
    "D": "float64",
}


def walk(branches: Iterable[Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, branch) of the branches without branches of their own, and of links split into key and index."""
    for branch in branches:
        here = f"{path}{branch.name}"
        parts = branch.branches
        if parts and not _is_split_link(parts):
            yield from walk(parts, f"{here}/")
        else:
            yield here, branch


def keyed(branches: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the branches by name; those that share a name by their path, and by a number where that is one."""
    names = [branch.name for _, branch in branches]
    counts = Counter(names)
    found: dict[str, Any] = {}
    for name, (path, branch) in zip(names, branches, strict=True):
        key = name if counts[name] == 1 else path
        number = 1
        while key in found:
            number += 1
            key = f"{path}_{number}"
        found[key] = branch
    return found


def describe_branch(branch: Any, entries: int) -> Mapping[str, tuple[str, int]] | str:
    """Return (dtype, depth) of what a branch holds by the name of the member, "" for the branch itself; or the reason
    why it cannot be read.
    """
    if branch.branches:
        return {"": (LINK, 1)}
    filled = int(branch.member("fEntries"))
    if filled != entries:
        return f"the branch has {filled:,} entries, its tree {entries:,}: which belongs to which is not known"
    if branch.name.endswith(("Aux.", "AuxDyn.")) and "::Aux" not in class_name(branch):
        return f"the store {branch.name} is written in one piece, which cannot be read from Python"
    leaves = branch.member("fLeaves")
    if len(leaves) != 1 or leaves[0].member("fLen") != 1:
        return _interpreted(branch)
    leaf = leaves[0]
    kind = _kind(leaf)
    listed = 1 if leaf.member("fLeafCount") else 0
    if kind in _LEAVES:
        dtype = _LEAVES[kind]
        return {"": ("u" + dtype if dtype.startswith("int") and leaf.member("fIsUnsigned") else dtype, listed)}
    name = class_name(branch)
    described = describe_type(name)
    if described is None or (described[0] == LINK and described[1] < 2):
        # one level of links reads only where it is split into key and index: in one piece it comes out as nonsense
        stands_for_others = name.startswith(("xAOD::", "DataVector<")) and "Aux." not in branch.name
        if stands_for_others or name.startswith("xAOD::Aux") or "::" in branch.name.rpartition(".")[2]:
            return NO_VALUES
        refused = f"type {name or 'unknown'} cannot be read from a TTree in this form"
        return refused if "ElementLink<" in name or "xAOD::" in name else _interpreted(branch)
    return {"": (described[0], described[1] + listed)}


def _kind(leaf: Any) -> str:
    return type(leaf).__name__.removeprefix("Model_TLeaf").partition("_")[0]


def _interpreted(branch: Any) -> Mapping[str, tuple[str, int]] | str:
    """Describe a branch by uproot's interpretation of it, where one entry can be read with that."""
    try:
        if is_leaf_list(branch):
            fields = branch.interpretation.to_dtype.fields
            return {name: (kind.base.name, len(kind.shape)) for name, (kind, *_) in fields.items()}
        form = branch.interpretation.awkward_form(branch.file)
        if branch.num_entries:
            branch.array(entry_start=0, entry_stop=1, array_cache=None)
    except Exception as error:
        return f"type {class_name(branch) or branch.typename} cannot be read: {first_line(error)}"
    return dict(_members(form, 0)) or f"type {branch.typename} cannot be read: it holds no numbers, strings or lists"


def is_leaf_list(branch: Any) -> bool:
    """Return whether an entry of a branch is one number of each of several leaves, or one array."""
    found = branch.interpretation
    return type(found).__name__ == "AsDtype" and bool(found.to_dtype.fields)


def _members(form: Any, depth: int, path: str = "") -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield (member, (dtype, depth)) of the numbers and strings of an awkward form."""
    if form.parameter("__array__") in ("string", "bytestring"):
        yield path, (STRING, depth)
    elif form.is_list:
        yield from _members(form.content, depth + 1, path)
    elif form.is_record:
        for name, content in zip(form.fields, form.contents, strict=True):
            if name.startswith("@"):  # bookkeeping of ROOT's streamers
                continue
            yield from _members(content, depth, f"{path}.{name}" if path else name)
    elif form.is_numpy:
        yield path, (form.primitive, depth + len(form.inner_shape))


def member(array: Any, path: str) -> Any:
    """Return a member of an array of records, or of numpy's of a leaf list, by its path (``fP.fX``)."""
    if isinstance(array, np.ndarray):
        import awkward as ak

        return ak.Array(np.ascontiguousarray(array[path]))
    while path:
        name = max((name for name in array.fields if f"{path}.".startswith(f"{name}.")), key=len)
        array, path = array[name], path.removeprefix(name).removeprefix(".")
    return array


def counter_of(branch: Any) -> str:
    """Return the name of the leaf that counts the lists of a branch, or nothing."""
    leaves = () if branch.branches else branch.member("fLeaves")
    counts = [leaf.member("fLeafCount") for leaf in leaves]
    return next((str(count.member("fName")) for count in counts if count), "")


def is_element(branch: Any) -> bool:
    """Return whether a branch holds a C++ class or a member of one."""
    return type(branch).__name__.startswith("Model_TBranchElement")


def class_name(branch: Any) -> str:
    """Return the C++ type of the values of a TBranchElement: its own class, or that of one member of it."""
    if branch.member("fID", none_if_missing=True) in {None, -1, -2}:
        return str(branch.member("fClassName", none_if_missing=True) or "")
    return str(getattr(branch.streamer, "typename", None) or branch.member("fClassName"))


def _is_split_link(parts: Sequence[Any]) -> bool:
    return tuple(part.name.rpartition(".")[2] for part in parts) == FILE_PARTS
