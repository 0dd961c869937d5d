"""The notebooks of docs/notebooks run from a fresh Python, as their cells stand in the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parent.parent / "docs" / "notebooks"


def run(name, folder, **environment):
    import os

    done = subprocess.run(
        [sys.executable, str(NOTEBOOKS / f"{name}.py")],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_ntuple(tmp_path):
    pytest.importorskip("xgboost", reason="needs the extra 'bdt'")
    assert "AUC 0." in run("ntuple", tmp_path, TMPDIR=str(tmp_path))


def test_physlite(tmp_path, physlite):
    pytest.importorskip("pandas", reason="needs pandas")
    run("physlite", tmp_path, PHYSLITE=str(physlite("PHYSLITE_example.root")))


def test_chain(tmp_path, sample_cache):
    pytest.importorskip("tensorflow", reason="needs the extra 'train'")
    run("chain", tmp_path, TMPDIR=str(tmp_path))


def test_what_shows_itself(xaod, tmp_path):
    """Jobs, plans, results and training sets are tables; texts are escaped."""
    import hepflow
    from hepflow.plots import EventDisplay
    from hepflow.plots.display import Marks
    from hepflow.plugins import tau
    from hepflow.registry.models import open_model
    from hepflow.variables import Variable

    job = hepflow.load_job("NNDecayMode", "TauSelection.PtMin=15001")
    assert "PtMin=15001" in job.job._repr_html_()
    done = hepflow.run(job, xaod.path, tmp_path / "run")
    assert "TauSelection" in done._repr_html_()
    data = hepflow.open(xaod.path)
    assert "<table>" in data._repr_html_()
    assert "work unit" in data.plan._repr_html_()
    declared = hepflow.TrainingSet({"TauJets": [Variable("pt")]}, "TauJets.x", selection="TauJets.y < 3")
    assert "y &lt; 3" in declared._repr_html_()
    network = Path(tau.__file__).parent / "data/NNDecayMode_Gammatautau_v2.json"
    shown = open_model(network)._repr_html_()
    assert "lwtnn JSON" in shown
    assert "1p0n" in shown
    assert EventDisplay((Marks("a", (0.1,), (0.1,), (1.0,)),))._repr_png_().startswith(b"\x89PNG")
