"""Is there a server, and can it send parts of a file? Asked before a remote input is opened: the libraries that open it
wait for minutes, or say something else.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from hepflow.errors import InputError

__all__ = ["ANSWER", "XROOTD", "check_server", "version_of"]

ANSWER = 20.0
"""Seconds that a server has to answer."""
XROOTD = ("root", "roots", "xroot", "xrootd")
_XROOTD_PORT = 1094


def check_server(path: str) -> None:
    """Raise InputError where the server of a ``root://`` or ``http(s)://`` address does not answer, refuses the file,
    or cannot send a range of bytes; other addresses are not looked at.
    """
    try:
        address = urlsplit(path)
        port = address.port or _XROOTD_PORT
    except ValueError as error:
        raise InputError(f"this is no address: {error}", where=path) from error
    if address.scheme in XROOTD:
        try:
            socket.create_connection((address.hostname or "", port), timeout=ANSWER).close()
        except OSError as error:
            raise _silent(path, address, error) from error
    elif address.scheme in ("http", "https"):
        _check_http(path, address)


def _check_http(path: str, address: SplitResult) -> None:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    request = Request(path, headers={"Range": "bytes=0-3"})  # noqa: S310 - http and https only
    try:
        with urlopen(request, timeout=ANSWER) as answer:  # noqa: S310 - as above
            status, start = answer.status, answer.read(4)
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.NOT_FOUND:
            raise InputError("this input does not exist", where=path, hint="check the address") from error
        hint = "check the address and the rights to read it"
        raise InputError(f"the server answers {error.code} {error.reason}", where=path, hint=hint) from error
    except (OSError, ValueError) as error:
        raise _silent(path, address, error) from error
    if start != b"root":
        hint = "is it a page to log in? open the address in a browser"
        raise InputError(f"this input is not a ROOT file: it starts with {start!r}", where=path, hint=hint)
    if status != HTTPStatus.PARTIAL_CONTENT:
        hint = f"copy the file and read the copy: curl -L -O {path}"
        raise InputError("the server of this input cannot send parts of a file", where=path, hint=hint)


def _silent(path: str, address: SplitResult, error: Exception) -> InputError:
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error  # urllib wraps the error of the network
    late = isinstance(cause, TimeoutError)
    why = f"no answer within {ANSWER:g} s" if late else getattr(cause, "strerror", None) or str(cause)
    return InputError(
        f"the server {address.hostname or '(none)'} cannot be reached: {why}",
        where=path,
        hint="check the address and the network",
    )


def version_of(path: str) -> list[str] | None:
    """Return what the server of an ``http(s)://`` address says of the version of its file: size, and tag or time; None
    where it says neither, or is no such server.
    """
    from urllib.request import Request, urlopen

    if urlsplit(path).scheme not in ("http", "https"):
        return None
    try:
        with urlopen(Request(path, method="HEAD"), timeout=ANSWER) as answer:  # noqa: S310 - http and https only
            size, tag, changed = (answer.headers.get(key) for key in ("Content-Length", "ETag", "Last-Modified"))
    except (OSError, ValueError):
        return None
    return [size, tag or changed] if size and (tag or changed) else None
