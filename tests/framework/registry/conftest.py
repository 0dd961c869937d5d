"""A third party's distribution, as pip leaves it behind."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution: a package with a plugin module, and its metadata."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)

    def make(package, plugin, *, entry=None, version="1.0", files=None):
        entry = entry or package
        (site / package).mkdir()
        (site / package / "__init__.py").write_text("")
        (site / package / "plugin.py").write_text(plugin)
        for name, text in (files or {}).items():
            path = site / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        info = site / f"hepflow_{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hepflow-{package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[hepflow]\n{entry} = {package}.plugin\n")
        importlib.invalidate_caches()
        return site

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("thirdparty"):
            del sys.modules[name]
