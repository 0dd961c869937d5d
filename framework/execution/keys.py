"""The user's key, with which a run signs what only its user may have written: pickled results, and the payload of
workers.

The key is a file of the user's own, outside of all run directories; each run has one that is made of it. Batch jobs
get that of their run by the environment that the batch system hands on, and look for the file where it hands on none.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from hepflow.errors import InputError, OutputError

__all__ = ["RUN_KEY", "run_key", "signature", "signed", "worker_key"]

RUN_KEY = "HEPFLOW_RUN_KEY"
"""Environment variable with the key of a run, for batch jobs; empty: they bring back data only."""
LENGTH = 32


def run_key(identity: str, *, make: bool = True) -> bytes | None:
    """Return this user's key for a run; None where it can neither be read nor made, OutputError where it is no
    secret.
    """
    key = _user_key(make=make)
    return key and hmac.digest(key, f"hepflow run {identity}".encode(), "sha256")


def worker_key(identity: str) -> bytes | None:
    """Return the key for a worker of a run: from the environment, else this user's; None where it is told to have
    none, or there is none here.
    """
    told = os.environ.get(RUN_KEY)
    try:
        return run_key(identity, make=False) if told is None else bytes.fromhex(told) or None
    except ValueError as error:
        raise InputError(f"{RUN_KEY} is no key", hint="the run sets it for its batch jobs") from error


def signature(content: bytes, key: bytes) -> bytes:
    """Return what shows that somebody with this key wrote this."""
    return hmac.digest(key, content, "sha256")


def signed(content: bytes, mark: bytes, key: bytes) -> bool:
    """Tell whether it does."""
    return hmac.compare_digest(signature(content, key), mark)


def _user_key(*, make: bool) -> bytes | None:
    """Return the user's key; where there is none it is made, if that may and can be."""
    path = platformdirs.user_data_path("hepflow") / "key"
    try:
        if make and not path.exists():
            _make(path)
        status, key = path.stat(), path.read_bytes()
    except OSError:
        return None
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or len(key) != LENGTH:
        raise OutputError(
            "your key for signing runs is damaged, or others can read it",
            where=str(path),
            hint="remove it: a new one is made; runs of before can then not be resumed",
        )
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(LENGTH))
    try:
        os.link(temporary, path)  # another run that makes one at the same time wins
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
