"""Histograms for fits: the ROOT file, and workspaces that pyhf reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from hepflow import Job
from hepflow.errors import JobOptionsError
from hepflow.execution import RunOptions, run
from hepflow.plugins.performance import FitHistograms


class Undrawn(FitHistograms):
    """Draws nothing: that takes its time."""

    def figures(self, samples, draw):
        """Draw nothing."""


X = {"signal": [1.0, 2.0, 2.5], "other": [0.5, 1.5, 2.2, 2.4], "data": [1.2, 2.1, 2.6, 0.1]}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits")
    for name, values in X.items():
        with uproot.recreate(folder / f"{name}.root") as file:
            file.mktree("tree", {"x": "float64"}).extend({"x": np.array(values)})
    return [f"{name}={folder / f'{name}.root'}" for name in X]


def job_of(**properties):
    job = Job("test")
    job += Undrawn("fit", **{"Variables": ["tree.x:3;0;3"], "Data": ["data"], "Signal": ["signal"], **properties})
    job.sample("data", data=True)
    job.vary("SCALE_UP", columns={"tree.x": "tree.x + 0.6"})
    job.vary("SCALE_DOWN", columns={"tree.x": "tree.x - 0.6"})
    job.vary("NORM_UP", factor={"other": 1.5})
    return job


@pytest.fixture(scope="module")
def fit(inputs, tmp_path_factory):
    output = str(tmp_path_factory.mktemp("run") / "out")
    return run(job_of(), RunOptions(inputs=inputs, output=output, variations=["ALL"])).directory / "fit"


def test_the_root_file_has_what_programs_for_fits_read(fit):
    name = "tree.x_3_0_3"
    with uproot.open(fit / "histograms.root") as file:
        found = {key: file[key].values().tolist() for key in file.keys(cycle=False, filter_classname="TH1*")}
        assert file[f"other_{name}__NORM_UP"].variances().tolist() == [2.25, 2.25, 4.5]
    assert found[f"signal_{name}"] == found[f"{name}/signal"] == [0, 1, 2]
    assert found[f"signal_{name}__SCALE_UP"] == found[f"{name}/signal_SCALEUp"] == [0, 1, 1]
    assert found[f"signal_{name}__SCALE_DOWN"] == found[f"{name}/signal_SCALEDown"] == [1, 2, 0]
    assert found[f"other_{name}__NORM_UP"] == found[f"{name}/other_NORMUp"] == [1.5, 1.5, 3]
    assert found[f"{name}/other_NORMDown"] == [0.5, 0.5, 1]  # mirrored
    assert f"other_{name}__NORM_DOWN" not in found
    assert found[f"{name}/data_obs"] == [1, 1, 2]
    assert not any("data" in key and "SCALE" in key for key in found)


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf's own
def test_pyhf_fits_the_workspace(fit):
    pyhf = pytest.importorskip("pyhf", reason="pyhf is not installed")
    workspace = pyhf.Workspace(json.loads((fit / "tree.x_3_0_3_pyhf.json").read_text()))  # validates it
    model = workspace.model()
    data = workspace.data(model)
    assert data[:3] == [1, 1, 2]
    index = model.config.par_names.index("SCALE")
    parameters = np.array(model.config.suggested_init())
    assert model.expected_actualdata(parameters).tolist() == [1, 2, 4]
    parameters[index] = 1
    assert model.expected_actualdata(parameters) == pytest.approx([0, 1 + 1, 1 + 3])
    best = pyhf.infer.mle.fit(data, model)
    assert 0 <= best[model.config.poi_index] < 2


def test_the_observation_is_the_sum_without_data_and_mistakes_are_named(inputs, tmp_path):
    options = {"inputs": inputs[:2], "output": str(tmp_path / "out")}
    job = Job("test")
    job += Undrawn("fit", Variables=["tree.x:3;0;3"])
    content = json.loads((run(job, RunOptions(**options)).directory / "fit/tree.x_3_0_3_pyhf.json").read_text())
    assert content["observations"][0]["data"] == [1, 2, 4]
    with pytest.raises(JobOptionsError, match="data is data and not in Data"):
        run(job_of(Data=[]), RunOptions(**options, force=True))
    job = Job("test")
    job += Undrawn("fit", Variables=["tree.x:3;0;3"], Signal=["sgnal"])
    with pytest.raises(JobOptionsError, match="no sample 'sgnal'"):
        run(job, RunOptions(**options, force=True))
