"""The report of a run: one HTML page and the same as a PDF book."""

from __future__ import annotations
