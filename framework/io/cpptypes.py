"""C++ type names, as ROOT files spell them, as numpy types and list levels."""

from __future__ import annotations

import re

__all__ = ["LINK", "STRING", "describe_type"]

LINK = "link"
STRING = "string"

_SCALARS = {
    "bool": "bool",
    "char": "int8",
    "signed char": "int8",
    "int8_t": "int8",
    "unsigned char": "uint8",
    "uint8_t": "uint8",
    "byte": "uint8",
    "short": "int16",
    "int16_t": "int16",
    "unsigned short": "uint16",
    "uint16_t": "uint16",
    "int": "int32",
    "int32_t": "int32",
    "unsigned int": "uint32",
    "uint32_t": "uint32",
    "long": "int64",
    "long long": "int64",
    "int64_t": "int64",
    "Long64_t": "int64",
    "unsigned long": "uint64",
    "unsigned long long": "uint64",
    "uint64_t": "uint64",
    "ULong64_t": "uint64",
    "float": "float32",
    "double": "float64",
    "string": STRING,
    "TString": STRING,
}

_VECTOR = re.compile(r"vector<(?P<inner>.+)>")


def describe_type(name: str) -> tuple[str, int] | None:
    """Return (dtype, list levels) of a C++ type, or None for what is no number, string, link or list of these.

    ``char`` is a number in ATLAS's event model and reads as int8, from a TTree and from an RNTuple.

    >>> describe_type("vector<vector<float> >")
    ('float32', 2)
    """
    depth = 0
    plain = name.replace("std::", "").strip()
    while match := _VECTOR.fullmatch(plain):
        plain, depth = match["inner"].strip(), depth + 1
    if plain.startswith("ElementLink<"):
        return LINK, depth
    dtype = _SCALARS.get(plain)
    return (dtype, depth) if dtype else None
