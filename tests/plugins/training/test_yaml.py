"""Conf and Arch files: those that ship, users' own in NNAlgs' form, and every way in which they can be wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from hepflow.errors import JobOptionsError, NetworkError, PluginError
from hepflow.plugins.tau.variables import CLASSES
from hepflow.plugins.training.architectures import NetworkInput
from hepflow.plugins.training.configuration import plan_network, read_arch, read_conf

SHIPPED = Path(__file__).parents[3] / "jobconfigs"
IGNORED = ("gpus", "workers", "lmdb_dir", "gen", "model", "tune", "tune_model", "save_dir")


@pytest.mark.parametrize("name", ["DSNN", "LSTM"])
def test_shipped_files_are_the_reference(name, network_inputs):
    conf = read_conf(SHIPPED / f"Conf{name}-R22.yaml")
    assert conf.architecture == name
    assert conf.arch == (SHIPPED / f"Arch{name}-R22.yaml").resolve()
    assert conf.settings == {"name": name, "epochs": 100, "patience": 10, "opt": "adam", "verbose": 2}
    assert conf.ignored == IGNORED
    shipped = plan_network(name, conf.arch, network_inputs, CLASSES)
    by_default = plan_network(name, None, network_inputs, CLASSES)
    assert shipped.build().count_params() == by_default.build().count_params()


def test_arch_values_of_the_reference():
    name, arch = read_arch(SHIPPED / "ArchDSNN-R22.yaml")
    assert name == "DSNN"
    assert arch["n_inputs"]["NeutralPFO"] == [80, 80, 60, 60]
    assert arch["n_tdd"] == {"TauTrack": 3, "NeutralPFO": 4, "ShotPFO": 3, "ConvTrack": 3}
    assert arch["n_steps"] == {"TauTrack": 3, "NeutralPFO": 8, "ShotPFO": 6, "ConvTrack": 4}
    assert (arch["n_fc1"], arch["n_fc2"], arch["n_classes"], arch["batch_norm"]) == (100, 50, 5, 1)
    assert read_arch(SHIPPED / "ArchLSTM-R22.yaml")[1]["n_hiddens"]["NeutralPFO"] == 40


@pytest.fixture
def own(tmp_path):
    """A user's files in a folder of his own; the path in Conf is one of another machine."""
    arch = yaml.safe_load((SHIPPED / "ArchDSNN-R22.yaml").read_text())
    conf = yaml.safe_load((SHIPPED / "ConfDSNN-R22.yaml").read_text())
    conf["DSNN"]["arch"] = "there/config/ArchMine.yaml"

    def write(conf_changes=None, arch_changes=None):
        conf["DSNN"].update(conf_changes or {})
        arch["DSNN"].update(arch_changes or {})
        (tmp_path / "Conf.yaml").write_text(yaml.safe_dump(conf))
        (tmp_path / "ArchMine.yaml").write_text(yaml.safe_dump(arch))
        return tmp_path / "Conf.yaml"

    return write


def test_own_files_work_unchanged(own, network_inputs):
    conf = read_conf(own({"epochs": 7}, {"dropout": 0.025}))
    plan = plan_network(conf.architecture, conf.arch, network_inputs, CLASSES)
    assert (conf.settings["epochs"], conf.arch.name) == (7, "ArchMine.yaml")
    assert list(plan.ignored.values()) == [("dropout",)], "reported, without effect"
    assert plan.build().count_params() == 48_905


def test_the_name_of_the_architecture_is_looked_up_before_the_arch_file(own):
    conf = read_conf(own())
    with pytest.raises(PluginError, match="DSN") as caught:
        plan_network("DSN", conf.arch, (), CLASSES)
    assert "'DSNN'" in caught.value.hint


def test_layers_that_are_not_used(own, network_inputs):
    """n_tdd and n_h say how many of the sizes are used."""
    fewer = own(None, {"n_tdd": {"TauTrack": 1, "NeutralPFO": 4, "ShotPFO": 3, "ConvTrack": 3}})
    model = plan_network("DSNN", read_conf(fewer).arch, network_inputs, CLASSES).build()
    # phi 10→30→30→20, F 20→20 become phi 10→30, F 30→20
    assert model.count_params() == 48_905 - (30 * 30 + 30) - (30 * 20 + 20) + 10 * 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": "ten"}, "patience is 'ten'"),
        ({"opt": 3}, "opt is 3"),
        ({"arch": "ArchMin.yaml"}, "did you mean 'ArchMine.yaml'"),
    ],
)
def test_wrong_conf(own, changes, message):
    with pytest.raises(JobOptionsError, match=message):
        read_conf(own(changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_input": {}}, "did you mean 'n_inputs'"),
        ({"n_fc1": 0}, "n_fc1 is 0, it must be a whole number from 1"),
        ({"batch_norm": 2}, "batch_norm is 2, it must be a whole number from 0 to 1"),
        ({"n_fc2": None}, "n_fc2 is None"),
        ({"n_tdd": 9}, "n_tdd of TauTrack is 9, but n_inputs has 3 sizes"),
        ({"n_inputs": {"TauTrack": [3]}}, "n_inputs has no value for 'NeutralPFO'"),
        ({"n_hiddens": {"ChargedPFO": [3]}}, "'ChargedPFO', which is no input"),
        ({"n_classes": 4}, "n_classes is 4 in the architecture, 5 in the data set"),
        (
            {"n_features": {"TauTrack": 14, "NeutralPFO": 22, "ShotPFO": 6, "ConvTrack": 10}},
            "n_features of 'TauTrack' is 14 in the architecture, 10 in the data set",
        ),
    ],
)
def test_wrong_arch(own, network_inputs, changes, message):
    path = read_conf(own(None, changes)).arch
    with pytest.raises(NetworkError, match=message):
        plan_network("DSNN", path, network_inputs, CLASSES).build()


def test_missing_key_and_file_of_another_architecture(own, network_inputs, tmp_path):
    (tmp_path / "few.yaml").write_text("DSNN: {n_inputs: [3], n_hiddens: [3], n_fc1: 4}")
    with pytest.raises(NetworkError, match="'n_fc2' is missing"):
        plan_network("DSNN", tmp_path / "few.yaml", network_inputs, CLASSES)
    with pytest.raises(JobOptionsError, match="of the architecture 'DSNN', not 'LSTM'"):
        plan_network("LSTM", read_conf(own()).arch, network_inputs, CLASSES)


@pytest.mark.parametrize("text", ["", "- 1", "DSNN: 3", "DSNN: {a: 1}\nLSTM: {b: 1}", "DSNN: [", "DSNN: !!python/x {}"])
def test_files_that_are_no_conf(tmp_path, text):
    path = tmp_path / "Conf.yaml"
    path.write_text(text)
    with pytest.raises(JobOptionsError) as error:
        read_conf(path)
    assert str(path) in error.value.where


def test_inputs_of_other_names_use_the_same_value_for_all(network_inputs, tmp_path):
    (tmp_path / "one.yaml").write_text("DSNN: {n_inputs: 4, n_hiddens: [3], n_fc1: 4, n_fc2: 4, batch_norm: 0}")
    other = tuple(dataclasses.replace(one, name=f"My{one.name}") for one in network_inputs[:2])
    plan = plan_network("DSNN", tmp_path / "one.yaml", other, CLASSES)
    assert plan.config["n_inputs"] == {"MyTauTrack": [4], "MyNeutralPFO": [4]}


def test_dense_file_need_not_name_the_layers(tmp_path):
    (tmp_path / "Arch.yaml").write_text("Dense: {task: regression}")
    flat = (NetworkInput("jets", ("m", "pt"), None, (0.0, 0.0), (1.0, 1.0)),)
    plan = plan_network("Dense", tmp_path / "Arch.yaml", flat, ("mass",))
    assert plan.config["n_hiddens"] == plan_network("Dense", None, flat, ("mass",)).config["n_hiddens"] == [64, 64]
    assert not plan.classifies
