"""Job options that ship with hepflow; they are run, not imported."""

from __future__ import annotations
