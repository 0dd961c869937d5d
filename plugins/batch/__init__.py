"""Batch systems: executors that hand work units to a cluster."""

from __future__ import annotations
