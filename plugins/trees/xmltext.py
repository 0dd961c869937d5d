"""Reading XML that may be damaged or hostile: no document types, so no entities; bounded depth; one clear error."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from hepflow.errors import NetworkError
from hepflow.networks.jsontext import read_bytes

__all__ = ["child", "number", "numbers", "read_xml", "whole"]

MAX_BYTES = 256 * 1024**2
MAX_DEPTH = 2_000


def read_xml(path: Path) -> ET.Element:
    """Return the root of an XML file; NetworkError where it is none, is cut off, or declares a document type."""
    content = read_bytes(path)
    if len(content) > MAX_BYTES:
        raise NetworkError(f"the file has {len(content) / 1024**2:.0f} MB, more than any forest needs", where=str(path))
    parser = expat.ParserCreate()
    builder = ET.TreeBuilder()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise NetworkError(f"the XML is nested deeper than {MAX_DEPTH} nodes")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise NetworkError("the XML declares a document type, which no weight file has: it is not read")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
        return builder.close()
    except expat.ExpatError as error:
        cut = error.code in (expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],) or "no element" in str(error)
        cut = cut or "unclosed token" in str(error)
        what = "the file ends too early" if cut else "malformed XML"
        raise NetworkError(f"{what}: {error}", where=str(path), hint="is it a whole copy?" if cut else "") from None
    except NetworkError as error:
        raise error.but(where=str(path)) from None


def child(element: ET.Element, tag: str) -> ET.Element:
    """Return the child of this tag; NetworkError where there is none."""
    found = element.find(tag)
    if found is None:
        raise NetworkError(f"the file has no {tag}", hint="is it a weight file of TMVA, and whole?")
    return found


def number(element: ET.Element, key: str, default: float | None = None) -> float:
    """Return an attribute that is a number; NetworkError where it is none, or missing without default."""
    text = element.get(key)
    if text is None and default is not None:
        return default
    if text is None:
        raise NetworkError(f"a {element.tag} has no {key}", hint="is the file whole, and of a TMVA that is known?")
    try:
        return float(text)
    except ValueError:
        raise NetworkError(f"{key} of a {element.tag} is {text!r}, which is no number") from None


def whole(element: ET.Element, key: str, default: int | None = None) -> int:
    """Return an attribute that is a whole number; NetworkError where it is none, or missing without default."""
    found = number(element, key, default)
    if not float(found).is_integer():
        raise NetworkError(f"{key} of a {element.tag} is {element.get(key)!r}, which is no whole number")
    return int(found)


def numbers(element: ET.Element, n: int, what: str) -> npt.NDArray[np.float64]:
    """Return the numbers of a text, finite and so many; NetworkError else."""
    try:
        found = np.array([float(part) for part in (element.text or "").split()])
    except ValueError as error:
        raise NetworkError(f"{what}: {error}") from None
    if len(found) != n or not np.isfinite(found).all():
        raise NetworkError(f"{what} has {len(found)} numbers, or such as are not finite; {n} are needed")
    return found
