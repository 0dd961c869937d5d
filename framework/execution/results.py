"""Adding up what tools accumulate: numbers, arrays, objects with ``+``, and dicts, lists, dataclasses of these."""

from __future__ import annotations

import dataclasses
from typing import Any

from hepflow.errors import ToolError

__all__ = ["add"]


def add(left: Any, right: Any, where: str = "") -> Any:
    """Return the sum of two results of the same tool.

    None adds nothing; dicts add key by key (a key may be missing on one side), lists and tuples element by element
    (they must have the same length), dataclasses field by field. ToolError where two values cannot be added.
    """
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, dict) and isinstance(right, dict):
        keys = dict.fromkeys([*left, *right])
        return {key: add(left.get(key), right.get(key), f"{where}[{key!r}]") for key in keys}
    if isinstance(left, list | tuple) and type(left) is type(right):
        if len(left) != len(right):
            raise ToolError(
                f"results with lists of different length cannot be added: {len(left)} and {len(right)}",
                where=where,
                hint="lists add element by element; for a collection use numpy arrays in a dict, or an object with +",
            )
        added = [add(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(left, right, strict=True))]
        return type(left)(added) if type(left) in (list, tuple) else type(left)(*added)
    if dataclasses.is_dataclass(left) and type(left) is type(right) and not hasattr(left, "__add__"):
        fields = [field.name for field in dataclasses.fields(left)]
        return dataclasses.replace(
            left, **{n: add(getattr(left, n), getattr(right, n), f"{where}.{n}") for n in fields}
        )  # type: ignore[type-var]
    if isinstance(left, str) and left == right:
        return left
    try:
        if isinstance(left, str):
            raise TypeError("texts differ")
        return left + right
    except (TypeError, ValueError) as error:
        raise ToolError(
            f"results of type {type(left).__name__} and {type(right).__name__} cannot be added: {error}",
            where=where,
            hint="a result is made of numbers, arrays, objects with +, and dicts, lists, dataclasses of these",
        ) from error
