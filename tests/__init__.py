"""Tests mirror the folders of the project."""

from __future__ import annotations
