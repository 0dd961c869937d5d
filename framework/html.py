"""Tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["table"]


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> str:
    """Return an HTML table, all texts escaped; nothing where there are no rows and no title."""
    lines = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    above = f"<p>{escape(title)}</p>" if title else ""
    names = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in head)
    return above + (f"<table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>" if lines else "")
