"""Performance: plots of classifiers and their inputs, and the report of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.performance.report.tool import Report

__all__ = ["Report"]

__getattr__, __dir__ = lazy_names(__name__, {"Report": "report.tool"})
