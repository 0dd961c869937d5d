"""Built-in plugins: one folder a domain."""

from __future__ import annotations
