"""NNDecayMode: which networks it takes. (What it gives is tested in tests/test_chain.py.)"""

from __future__ import annotations

import pytest

from hepflow.errors import JobOptionsError
from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.registry.manager import registry


def load(weights):
    path = find_joboptions("NNDecayMode", registry())
    job = load_joboptions(path, {"mode": "classifier", "weights": str(weights)}).job
    job.freeze()
    return job.find("NNDecayModeClassifier")


@pytest.fixture
def network(tmp_path):
    """A folder with a network in each of 0, 1, 2 and 10."""
    for number in (0, 1, 2, 10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "net.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "numbers"), [("*", ["0", "1", "10", "2"]), ("?", ["0", "1", "2"]), ("[01]", ["0", "1"])]
)
def test_networks_of_a_pattern(network, pattern, numbers):
    assert load(network / pattern / "net.json").files() == tuple(str(network / n / "net.json") for n in numbers)


def test_a_file_may_be_called_like_a_pattern(network):
    path = network / "net[1].json"
    path.write_text("{}")
    assert load(path).files() == (str(path),)


def test_a_pattern_without_files(network):
    with pytest.raises(JobOptionsError, match=r"there is no data file '.*/\[3-9\]/net\.json'"):
        load(network / "[3-9]" / "net.json")


@pytest.mark.parametrize("mode", ["tree", "pfo"])
def test_a_network_that_would_not_be_applied(network, mode):
    options = {"mode": mode, "weights": str(network / "0" / "net.json")}
    with pytest.raises(JobOptionsError, match=f"--mode {mode} does not apply") as caught:
        load_joboptions(find_joboptions("NNDecayMode", registry()), options)
    assert caught.value.hint == "add --mode classifier"
