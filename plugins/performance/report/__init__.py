"""The report of a run: one HTML page."""

from __future__ import annotations
