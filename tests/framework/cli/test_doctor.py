"""hepflow doctor."""

from __future__ import annotations

import importlib.metadata

from hepflow.cli import doctor


def test_healthy(hepflow, tmp_path):
    out = hepflow("doctor").fine().out
    assert "no problems" in out
    (line,) = [line for line in out.splitlines() if line.split()[1:2] == ["awkward"]]
    assert line.split() == ["-", "awkward", ">=2.8", importlib.metadata.version("awkward")]
    assert f"cache: {tmp_path / 'cache'}" in out
    assert "plugins: batch, common, core" in out


def test_clash_of_import_names(hepflow, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: {"hepflow": ["hepflow", "fasthep-flow"]})
    assert doctor.foreign_distributions() == ["fasthep-flow"]
    out = hepflow("doctor")
    assert out.status == 1
    assert "pip uninstall fasthep-flow" in out


def test_missing_packages(hepflow, monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name in ("awkward", "pythia8mc"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    out = hepflow("doctor")
    assert out.status == 1
    assert "awkward is missing, which hepflow needs: pip install" in out
    assert "the extra 'sample' is not complete" in out
