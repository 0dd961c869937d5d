"""hepflow from Python: columns of files, and jobs that are run."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

import hepflow
from hepflow import Job, Tool
from hepflow.errors import ColumnError, JobOptionsError, PropertyError


class Count(Tool):
    """Count the taus."""

    def reads(self):
        return ["TauJets.pt"]

    def start(self):
        return [0]

    def execute(self, events, result):
        result[0] += len(events["TauJets"])


def test_columns_of_files_under_their_uniform_names(xaods):
    folder, files = xaods
    paths = [file.path for file in files]
    data = hepflow.open(folder)
    expected = ak.Array([[tau["pt"] for tau in event["TauJets"]] for file in files for event in file.events])
    expected = ak.values_astype(expected, np.float32)
    assert len(data) == len(expected) == 75
    assert ak.array_equal(data["TauJets.pt"], expected, check_parameters=False)
    assert data["TauJets.pt"] is data["TauJets.pt"]  # read once
    assert ak.array_equal(
        data["TauJets.pt / 1000"], ak.values_astype(expected, np.float64) / 1000, check_parameters=False
    )
    assert "pt" in data.containers["TauJets"]
    assert data.numpy("TauJets.pt").tolist() == ak.flatten(expected).to_list()
    numbers = data["EventInfo.eventNumber"]
    assert len(numbers) == 75
    assert len(np.unique(numbers)) == 75
    assert "75 events" in repr(data)
    assert ">TauJets</td>" in data._repr_html_()
    with pytest.raises(ColumnError, match=r"TauJets\.ptt.*not there"):
        data["TauJets.ptt"]
    with pytest.raises(PropertyError, match=r"did you mean .*TauJets\.nTracks"):
        data["nTracks"]
    assert [*data.arrays(["TauJets.pt"], "TauJets.eta")] == ["TauJets.pt", "TauJets.eta"]
    with pytest.raises(PropertyError):
        data["TauJets.pt +"]
    some = hepflow.open([paths[1], paths[0]], events=40, skip=10)
    assert some["EventInfo.eventNumber"].to_list() == [*range(1041, 1056), *range(1001, 1026)]


def test_columns_of_a_container_as_a_frame(xaods):
    pytest.importorskip("pandas")
    data = hepflow.open(xaods[1][0].path)
    frame = data.pandas("TauJets", "pt", "eta")
    assert list(frame.columns) == ["pt", "eta"]
    assert frame.loc[3]["pt"].to_list() == data["TauJets.pt"][3].to_list()
    assert "pt" in data.pandas("TauJets").columns
    with pytest.raises(ColumnError, match="tauTrackLinks of TauJets holds a list"):
        data.pandas("TauJets", "pt", "tauTrackLinks")
    assert len(data.pandas("EventInfo")) == len(data)
    number = "EventInfo.eventNumber"
    beside = data.pandas("TauJets", "pt", number)[number]
    assert len(beside) == len(frame)
    assert (beside == data.numpy(number)[beside.index.get_level_values(0)]).all()
    with pytest.raises(ColumnError, match="stands once in an event"):
        data.pandas("TauJets", number)
    with pytest.raises(ColumnError, match="no container 'Taus'"):
        data.pandas("Taus")


def test_a_job_is_run_with_plain_arguments(xaods, tmp_path):
    job = Job("count")
    job += Count("count")
    done = hepflow.run(job, xaods[0], tmp_path / "out", events=40)
    assert done.events == 40
    assert done.results["count"] == [ak.count(hepflow.open(xaods[0], events=40)["TauJets.pt"])]
    assert done.directory == tmp_path / "out"
    with pytest.raises(JobOptionsError, match="no option 'worker'"):
        hepflow.run(job, xaods[0], worker=2)
