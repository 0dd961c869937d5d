"""Open an input: find the reader that claims it, or say clearly what is wrong with it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hepflow.errors import DamagedError, InputError, TruncatedError, nearest
from hepflow.io.remote import ANSWER, XROOTD, check_server
from hepflow.io.trees import choose_tree, count_entries, find_trees, open_tree, split_called

if TYPE_CHECKING:
    from hepflow.protocols import Reader

__all__ = ["first_line", "local_path", "open_reader", "open_root", "trees_of"]


_ROOT_NAME = re.compile(r"\.root(\.\d+)?$")


def open_reader(path: str, formats: Iterable[Any], tree: str = "") -> Reader:
    """Return the reader of an input: by the scheme that starts the path, else the first format that knows the tree.

    ``formats`` are reader classes. One with a ``scheme`` is made from the path, one without from the path and the open
    tree; the file is opened once. ``tree`` names the tree (``folder/tree``) where it is not the default, and behind
    a ``=`` what the rows of an ntuple are called where that is not the tree's name. Raises InputError where the input
    is missing, empty, truncated, no ROOT file, or has no such tree, and TreeError where it has several and none is
    chosen.
    """
    known = list(formats)
    for reader in known:
        if reader.scheme and path.startswith(f"{reader.scheme}:"):
            if tree:
                raise InputError(f"{path} is made on demand and has no tree {tree!r}", hint="leave the tree out")
            return reader(path)  # type: ignore[no-any-return]
    _check_scheme(path, [reader.scheme for reader in known if reader.scheme])
    file = open_root(path)
    try:
        wanted, called = split_called(tree)
        opened = replace(open_tree(path, file, choose_tree(path, file, wanted)), called=called)
        for reader in known:
            if not reader.scheme and reader.recognises(opened):
                return reader(path, opened)  # type: ignore[no-any-return]
        raise InputError(f"no format that hepflow knows reads the tree {opened.name}", where=path)
    except BaseException:
        file.close()
        raise


def trees_of(path: str) -> dict[str, int]:
    """Return name → number of entries of every tree of a ROOT file; errors as of ``open_reader``."""
    with closing(open_root(path)) as file:
        return count_entries(path, file, find_trees(path, file))


def open_root(path: str) -> Any:
    """Return the open ROOT file, without caches; InputError says what is wrong with it.

    A server has ``ANSWER`` seconds to answer, and must be able to send parts of a file.
    """
    local = local_path(path)
    if local is not None:
        import uproot

        _check_local(path, local)
        # local files are read here and now: uproot's default hands every read to another thread, which costs more
        return _open(path, str(local), handler=uproot.MultithreadedFileSource, use_threads=False)
    check_server(path)
    return _open(path, path, **({"timeout": int(3 * ANSWER)} if urlsplit(path).scheme in XROOTD else {}))


def _open(path: str, spelled: str, **options: Any) -> Any:
    import uproot

    try:
        file = uproot.open({spelled: None}, array_cache=None, object_cache=None, **options)
        # uproot asks for the class of each of the thousands of parts of a tree, and works out its name anew each time
        file.file.class_named = cache(file.file.class_named)
        return file
    except Exception as error:
        message = f"this input cannot be opened as a ROOT file: {first_line(error)}"
        if local_path(path) is not None:
            raise DamagedError(message, where=path, hint="the file is damaged") from error
        hint = "check the address, the network and the rights to read it"
        if isinstance(error, ImportError):
            hint = "https:// needs the package aiohttp, root:// needs fsspec-xrootd and xrootd"
        raise InputError(message, where=path, hint=hint) from error


def local_path(path: str) -> Path | None:
    """Return the path on this machine, or None for a remote address."""
    if path.startswith("file:"):
        return Path("/" + path.removeprefix("file:").removeprefix("//localhost").lstrip("/"))
    return None if "://" in path else Path(path)


def _check_scheme(path: str, schemes: list[str]) -> None:
    scheme, colon, rest = path.partition(":")
    if colon and scheme.isalnum() and not rest.startswith("//") and scheme != "file" and not Path(path).exists():
        raise InputError(
            f"nothing reads inputs that start with {scheme}:",
            where=path,
            hint=nearest(scheme, schemes, what="kinds of input"),
        )


def _check_local(path: str, local: Path) -> None:
    if not local.exists():
        folder = local.parent
        names = [item.name for item in folder.iterdir()] if folder.is_dir() else []
        hint = (
            nearest(local.name, names, what=f"files in {folder}") if folder.is_dir() else f"there is no folder {folder}"
        )
        raise InputError("this input file does not exist", where=path, hint=hint)
    if local.is_dir():
        raise InputError(
            "this input is a folder, not a file", where=path, hint="name a file in it; hepflow run -i takes folders"
        )
    try:
        size = local.stat().st_size
        with local.open("rb") as stream:
            head = stream.read(20)
    except OSError as error:
        raise InputError(f"this input cannot be read: {error.strerror}", where=path) from error
    if not size:
        raise TruncatedError("this input file is empty (0 bytes)", where=path, hint="copy or produce it again")
    if head[:4] != b"root":
        kind = DamagedError if _ROOT_NAME.search(local.name) else InputError
        raise kind("this input is not a ROOT file", where=path, hint=f"it starts with {head[:4]!r} instead of b'root'")
    end = _declared_size(head)
    if end > size:
        raise TruncatedError(
            f"this ROOT file is truncated: it has {size} of {end} bytes", where=path, hint="copy or produce it again"
        )


def _declared_size(head: bytes) -> int:
    """Return where the file says that it ends (``fEND`` in the header of a TFile; 64 bits in files over 2 GB)."""
    if len(head) < 20:
        return 20
    version, _ = struct.unpack(">ii", head[4:12])
    end: int = struct.unpack(">q" if version >= 1_000_000 else ">i", head[12 : 20 if version >= 1_000_000 else 16])[0]
    return end


def first_line(error: BaseException) -> str:
    """Return the class and the first line of an error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": ")
