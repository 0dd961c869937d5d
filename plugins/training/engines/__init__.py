"""Engines: the libraries that train, behind one interface; a plugin brings more through ``hepflow_engines``."""

from __future__ import annotations

from hepflow.plugins.training.engines.base import Engine, Plan, Request, Schedule

__all__ = ["Engine", "Plan", "Request", "Schedule"]
