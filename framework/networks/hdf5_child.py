"""Run as a process of its own by ``hdf5``: lists and reads the data sets of one HDF5 file, over its pipes.

Damaged files crash or hang the HDF5 library; here that ends this process and nothing else. The first line that goes
out is a JSON object: ``attributes`` of the file, ``names`` that groups give themselves, ``datasets`` by path (type and
shape), and ``odd``: what is not read, by path, and why. Then each line that comes in is a JSON list of paths, each
answered by its numbers as float64.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

MAX_OBJECTS = 50_000
MAX_DEPTH = 24
MAX_MEMORY = 2 * 1024**3
MAX_CHUNK = 128 * 1024**2
FILTERS = (1, 2, 3)
"""Deflate, shuffle and Fletcher's checksum; others may come in as code from outside."""


def main(path: str) -> None:
    """Serve the file until there are no more requests."""
    _limit()
    import h5py
    import numpy as np

    with h5py.File(path, "r") as file:
        index: dict[str, Any] = {"attributes": {}, "names": {}, "datasets": {}, "odd": {}}
        for key in ("model_config", "keras_version"):
            if key in file.attrs and (text := _text(file.attrs[key])) is not None:
                index["attributes"][key] = text
        _walk(h5py, file, "", index, 0)
        sys.stdout.buffer.write(json.dumps(index).encode() + b"\n")
        sys.stdout.buffer.flush()
        for line in sys.stdin.buffer:
            for wanted in json.loads(line):
                sys.stdout.buffer.write(np.asarray(file[wanted][()], dtype="<f8").tobytes())
            sys.stdout.buffer.flush()


def _limit() -> None:
    """Bound processor time and memory, and leave no core behind."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (8, 8))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


def _text(value: Any) -> str | None:
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(value) if isinstance(value, str) else None


def _walk(h5py: Any, group: Any, path: str, index: dict[str, Any], depth: int) -> None:
    """List everything below a group. Links other than hard ones are not followed."""
    for name in group:
        inner = f"{path}/{name}" if path else name
        if len(index["datasets"]) + len(index["odd"]) + len(index["names"]) > MAX_OBJECTS or depth > MAX_DEPTH:
            raise ValueError("it holds more objects than any network has, or they are nested too deep")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            index["odd"][inner] = "is a link to another place or file"
            continue
        try:
            item = group[name]
            why = "" if isinstance(item, h5py.Group) else _odd(h5py, item)
        except Exception as error:  # whatever the library makes of the damage
            index["odd"][inner] = f"cannot be read: {error}"
            continue
        if isinstance(item, h5py.Group):
            own = _text(item.attrs["name"]) if name == "vars" and "name" in item.attrs else None
            index["names"][inner] = own
            _walk(h5py, item, inner, index, depth + 1)
        elif why:
            index["odd"][inner] = why
        else:
            index["datasets"][inner] = [int(length) for length in item.shape]


def _odd(h5py: Any, item: Any) -> str:
    """Tell why a data set is not read, empty where it is. Asks for nothing that would open another file."""
    if not isinstance(item, h5py.Dataset):
        return "is no data set"
    layout = item.id.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        return "stands in another file"
    if item.dtype.kind not in "fiu" or item.shape is None:
        return f"holds {item.dtype}, no numbers"
    if any(layout.get_filter(number)[0] not in FILTERS for number in range(layout.get_nfilters())):
        return "is stored with an unknown filter"
    if item.chunks is not None and math.prod(item.chunks) * item.dtype.itemsize > MAX_CHUNK:
        return "is stored in pieces that are too large"
    return ""


if __name__ == "__main__":
    main(sys.argv[1])
