"""The data set stream: every row of the file against the columns it was made of, shuffling, folds, errors."""

from __future__ import annotations

import importlib.util
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - makes LZ4 known to HDF5
import numpy as np
import pytest

import hepflow.streams.dataset as dataset_module
import hepflow.streams.shuffling as shuffling_module
from hepflow import Context, Folds, Job, TrainingSet
from hepflow.errors import ColumnError, HepflowError, InputError, JobOptionsError, OutputError
from hepflow.execution import RunOptions, run
from hepflow.io.hdf5 import DatasetLayout, DatasetWriter
from hepflow.plugins.tau import NNDecayModeTree, TauTruthMatching
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.streams import DatasetStream, NtupleStream
from hepflow.variables import Variable

_SPEC = importlib.util.spec_from_file_location(
    "training_files", Path(__file__).parents[1] / "plugins" / "training" / "conftest.py"
)
training_files = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(training_files)
make_columns, write_ntuple, stream = (
    training_files.make_columns,
    training_files.write_ntuple,
    training_files.decay_mode_stream,
)

TAUS = 700


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory):
    """Two ntuples with their columns; the second begins where the first ends."""
    folder = tmp_path_factory.mktemp("ntuples")
    columns = [make_columns(TAUS, first=first) for first in (0, TAUS)]
    return [write_ntuple(folder / f"{i}.root", c) for i, c in enumerate(columns)], columns


def build(inputs, output, *things, workers=1, chunk=100_000, resume=False):
    job = Job("dataset")
    for thing in things or (stream(),):
        job += thing
    options = RunOptions(
        inputs=[str(i) for i in inputs], output=str(output), workers=workers, chunk=chunk, resume=resume
    )
    (path,) = run(job, options).outputs["dataset"]
    return path


def interrupted(monkeypatch, inputs, output, *things, **options):
    """Build a training set up to the moment before it is whole; return the parts."""
    with monkeypatch.context() as patch:
        patch.setattr(dataset_module.DatasetWriter, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(inputs, output, *things, **options)
    return sorted(output.glob(".hepflow/parts/*"))


def read(path):
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}, json.loads(file.attrs["hepflow"])


def same(left, right):
    return left.keys() == right.keys() and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in ((left[name], right[name]) for name in left)
    )


@pytest.fixture(scope="module")
def built(ntuples, tmp_path_factory):
    return build(ntuples[0], tmp_path_factory.mktemp("built") / "run")


def test_every_tau_once_with_its_values(ntuples, built):
    content, _ = read(built)
    taus = content["taus"]
    assert sorted(taus["mcEventNumber"].tolist()) == list(range(2 * TAUS))
    for first, columns in zip((0, TAUS), ntuples[1], strict=True):
        here = np.flatnonzero(taus["mcEventNumber"] // TAUS == first // TAUS)
        source = taus["mcEventNumber"][here].astype(int) - first
        tau = columns["TauJets"]
        assert taus["label"][here].tolist() == np.minimum(tau["truthDecayMode"], 4)[source].tolist()
        assert taus["weight"][here].tolist() == tau["beamSpotWeight"][source].tolist()
        assert taus["fold"][here].tolist() == (tau["mcEventNumber"] % 5)[source].tolist()
        assert taus["pt"][here].tolist() == tau["pt"][source].tolist()
        for group, cap in SEQUENCE_CAPS.items():
            counts, values = columns[group]
            starts = np.cumsum(counts) - counts
            for row, number in zip(here[::9], source[::9], strict=True):
                objects = content[group][row]
                kept = min(counts[number], cap)
                assert objects["valid"].tolist() == [True] * kept + [False] * (cap - kept)
                for variable in DECAY_MODE_VARIABLES[group]:
                    raw = values[variable.column][starts[number] : starts[number] + kept].astype(np.float32)
                    assert objects[variable.column].tolist() == [*raw.tolist(), *[0.0] * (cap - kept)]


def test_layout_is_that_of_the_flavour_tagging_tools(built):
    with h5py.File(built) as file:
        assert set(file) == {"taus", *SEQUENCE_CAPS}
        for group, cap in SEQUENCE_CAPS.items():
            assert file[group].shape == (2 * TAUS, cap)
            assert file[group].dtype.names == (*(v.column for v in DECAY_MODE_VARIABLES[group]), "valid")
            assert file[group].dtype["valid"] == np.bool_
            assert file[group].dtype["pt"] == np.float32
        names = ("label", "weight", "fold", "mcEventNumber", "pt", "truthDecayMode")
        assert file["taus"].dtype.names == names
        assert file["taus"].dtype["mcEventNumber"] == np.uint64
        assert file["taus"].attrs["label"].tolist() == list(CLASSES)
        assert "32004" in file["taus"]._filters, "the registered number of the LZ4 filter"


def test_h5reader_of_the_flavour_tagging_tools(built):
    ftag = pytest.importorskip("ftag.hdf5", reason="atlas-ftag-tools is not installed")
    reader = ftag.H5Reader(built, batch_size=300, global_objects_name="taus", shuffle=True)
    assert reader.num_global_objects == 2 * TAUS
    batches = list(reader.stream({"taus": ["mcEventNumber"], "TauTrack": ["pt", "valid"], "NeutralPFO": None}))
    numbers = np.concatenate([batch["taus"]["mcEventNumber"] for batch in batches])
    assert sorted(numbers.tolist()) == list(range(2 * TAUS))
    tracks = sum(batch["TauTrack"]["valid"].sum() for batch in batches)
    assert tracks == read(built)[0]["TauTrack"]["valid"].sum()


def test_rows_are_ordered_by_fold_and_shuffled_within(built):
    content, record = read(built)
    taus = content["taus"]
    assert (np.diff(taus["fold"].astype(int)) >= 0).all()
    for fold, (start, stop) in enumerate(record["rows_of_folds"]):
        rows = taus[start:stop]
        assert set(rows["fold"]) == {fold}
        assert abs(np.corrcoef(np.arange(len(rows)), rows["mcEventNumber"].astype(float))[0, 1]) < 0.25
        first_file = (rows["mcEventNumber"] < TAUS).mean()
        assert abs((rows["mcEventNumber"][: len(rows) // 2] < TAUS).mean() - first_file) < 0.15
        labels = np.bincount(rows["label"], minlength=5)
        assert record["counts"][fold] == labels.tolist()


def test_same_content_for_any_workers_chunks_and_blocks(ntuples, built, tmp_path, monkeypatch):
    expected, record = read(built)
    two, _ = read(build(ntuples[0], tmp_path / "two", workers=2, chunk=123))
    assert same(two, expected)
    monkeypatch.setattr(shuffling_module, "BLOCK_BYTES", 100_000)  # many blocks and key ranges instead of one
    monkeypatch.setattr(shuffling_module, "FILES", 4)  # dealt out to groups of ranges, and again
    for picked in (shuffling_module.PICKED, 0):  # ranges of keys are picked out of the parts, or dealt out
        monkeypatch.setattr(shuffling_module, "PICKED", picked)
        many, again = read(build(ntuples[0], tmp_path / f"many-{picked}", chunk=77))
        assert same(many, expected)
        assert again == record


def test_seed_changes_the_order_and_nothing_else(ntuples, built, tmp_path):
    expected, _ = read(built)
    other, _ = read(build(ntuples[0], tmp_path / "other", stream(Seed=43)))
    assert not same(other, expected)
    order = [np.argsort(content["taus"]["mcEventNumber"]) for content in (expected, other)]
    assert same(*({name: c[name][o] for name in c} for c, o in zip((expected, other), order, strict=True)))


def test_straight_from_containers_is_the_same_as_through_an_ntuple(xaod, tmp_path):
    taus = training_files.decay_mode_set(classes={}, spectators=["TauJets.pt"])
    direct = DatasetStream("dataset", TrainingSet=taus)
    direct += NNDecayModeTree("NNDecayModeTree")
    one = build([xaod.path], tmp_path / "one", TauTruthMatching("match"), direct)
    ntuple = NtupleStream("tree")
    ntuple += NNDecayModeTree("NNDecayModeTree")
    job = Job("tree")
    job += TauTruthMatching("match")
    job += ntuple
    tree = run(job, RunOptions(inputs=[str(xaod.path)], output=str(tmp_path / "tree"))).outputs["tree"]
    two = build(tree, tmp_path / "two", DatasetStream("dataset", TrainingSet=taus))
    left, right = read(one)[0], read(two)[0]
    assert len(left["taus"]) > 40
    assert sorted(row.tobytes() for row in left["NeutralPFO"]) == sorted(row.tobytes() for row in right["NeutralPFO"])
    assert sorted(left["taus"].tolist()) == sorted(right["taus"].tolist())


def test_regression_with_flat_inputs(ntuples, tmp_path):
    inputs = {"TauJets": (Variable("pt_log", "pt", "log10", 1.0), Variable("eta"))}
    made = DatasetStream("dataset", TrainingSet=TrainingSet(inputs=inputs, target="TauJets.beamSpotWeight"))
    content, record = read(build(ntuples[0], tmp_path / "run", made))
    assert set(content) == {"taus"}
    assert content["taus"].dtype.names == ("label", "weight", "fold", "mcEventNumber", "pt", "eta")
    taus = ntuples[1][0]["TauJets"]
    rows = {int(row["mcEventNumber"]): row for row in content["taus"]}
    assert [rows[i]["label"] for i in range(TAUS)] == taus["beamSpotWeight"].tolist()
    assert [rows[i]["pt"] for i in range(TAUS)] == taus["pt"].tolist()
    assert set(content["taus"]["weight"].tolist()) == {1.0}
    assert record["training_set"]["target"] == [{"column": "TauJets.beamSpotWeight", "classes": {}}]


def test_compression_without_plugin(ntuples, tmp_path):
    path = build(ntuples[0], tmp_path / "run", stream(Compression="ZLIB"))
    text = "import h5py, sys; print(len(h5py.File(sys.argv[1])['NeutralPFO'][:]))"
    done = subprocess.run([sys.executable, "-c", text, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 2 * TAUS


@pytest.mark.parametrize(
    ("properties", "error", "words"),
    [
        ({"classes": dict(enumerate(CLASSES))}, ColumnError, "truthDecayMode = 5, which is in no class"),
        ({"classes": {**dict(enumerate(CLASSES)), 5: "5", 6: "never"}}, OutputError, "no taus of class never"),
        ({"spectators": ["TauJets.ptt"]}, ColumnError, "'TauJets.pt'"),
        ({"spectators": ["TauTrack.pt"]}, ColumnError, "no spectator"),
        ({"weight": "TauJets.weight"}, ColumnError, "TauJets.weight"),
        ({"inputs": {}}, JobOptionsError, "no inputs"),
        ({"folds": 5}, JobOptionsError, "folds of a TrainingSet cannot be 5"),
        ({"weight": 2.0}, JobOptionsError, "weight of a TrainingSet wants str"),
        ({"inputs": {"TauTrack": ("pt",)}, "caps": {"TauTrack": 3}}, JobOptionsError, "wants"),
        ({"caps": {**SEQUENCE_CAPS, "TauTracks": 3}}, JobOptionsError, "'TauTrack'"),
        ({"caps": {**SEQUENCE_CAPS, "TauTrack": 0}}, JobOptionsError, "at least 1"),
        ({"caps": {"TauTrack": 3}}, JobOptionsError, "a sequence needs an entry in caps"),
        ({"folds": Folds(column="TauJets.eta")}, ColumnError, "must be an integer"),
        ({"spectators": ["TauJets.pt", "NeutralPFO.pt"]}, JobOptionsError, "same name"),
    ],
)
def test_errors_name_what_is_wrong(ntuples, tmp_path, properties, error, words):
    with pytest.raises(error) as caught:
        build(ntuples[0], tmp_path / "run", stream(**properties))
    assert words in str(caught.value)
    assert not list((tmp_path / "run").glob("*.h5")) if (tmp_path / "run").exists() else True


def test_no_taus(ntuples, tmp_path):
    class Nothing(training_files.DatasetStream):
        def collect(self, events, columns):
            events.select_events(np.zeros(len(events), dtype=bool), "none")
            return super().collect(events, columns)

    made = Nothing("dataset", **stream().values_set)
    with pytest.raises(OutputError, match="no taus are left"):
        build(ntuples[0], tmp_path / "run", made)


def test_input_without_entries(ntuples, built, tmp_path):
    zero = write_ntuple(tmp_path / "zero.root", make_columns(0))
    assert same(read(build([*ntuples[0], zero], tmp_path / "both"))[0], read(built)[0])
    with pytest.raises(OutputError, match="no taus are left"):
        build([zero], tmp_path / "run")


def test_files_of_different_types(ntuples, tmp_path):
    columns = make_columns(50, first=5000)
    columns["TauJets"]["pt"] = columns["TauJets"]["pt"].astype(np.float64)
    other = write_ntuple(tmp_path / "other.root", columns)
    with pytest.raises(HepflowError) as caught:
        build([ntuples[0][0], other], tmp_path / "run")
    assert "pt is float32 in some of the input and float64 in the rest" in str(caught.value)


def test_folds_without_taus(tmp_path):
    columns = make_columns(300)
    fold = columns["TauJets"]["mcEventNumber"] % 5
    columns["TauJets"]["mcEventNumber"] += ((fold == 0) | (fold == 4)).astype(np.uint64) * np.uint64(2)
    content, record = read(build([write_ntuple(tmp_path / "a.root", columns)], tmp_path / "run"))
    assert set(content["taus"]["fold"]) == {1, 2, 3}
    assert [stop - start for start, stop in record["rows_of_folds"]] == [
        0,
        *[np.sum(content["taus"]["fold"] == f) for f in (1, 2, 3)],
        0,
    ]


def test_a_single_wrong_bit_is_noticed(built, tmp_path):
    content = bytearray(built.read_bytes())
    with h5py.File(built) as file:
        place = file["TauTrack"].id.get_chunk_info(0)
    content[place.byte_offset + place.size // 2] ^= 1
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(content)
    with h5py.File(damaged) as file, pytest.raises(OSError, match="filter returned failure"):
        file["TauTrack"][:]


def test_interrupted_while_shuffling_then_resumed(ntuples, built, tmp_path, monkeypatch):
    interrupted(monkeypatch, ntuples[0], tmp_path / "run")
    assert not [path for path in (tmp_path / "run").iterdir() if path.suffix in (".h5", ".part")]
    patched = build(ntuples[0], tmp_path / "run", resume=True)
    assert same(read(patched)[0], read(built)[0])
    assert not list((tmp_path / "run").glob(".hepflow/parts/*"))


@pytest.mark.parametrize("kept", [slice(200_000, None), slice(None, -3), slice(5), slice(0)])
def test_damaged_part(ntuples, tmp_path, monkeypatch, kept):
    part = interrupted(monkeypatch, ntuples[0], tmp_path / "run")[0]
    part.write_bytes(part.read_bytes()[kept])
    with pytest.raises(InputError, match="a part of the data set is damaged") as caught:
        stream().close([part], Context(tmp_path / "run", "dataset"))
    assert str(part) in caught.value.message


def test_many_parts_take_few_open_files(tmp_path, monkeypatch):
    """The rows of 300 equal parts stand beside each other 300 times, through files of files of ranges of keys."""
    ntuple = write_ntuple(tmp_path / "few.root", make_columns(40))
    once, _ = read(build([ntuple], tmp_path / "once"))
    (part,) = interrupted(monkeypatch, [ntuple], tmp_path / "run")
    copies = [part.with_name(f"dataset_{number:06d}-copy.rows") for number in range(300)]
    for copy in copies:
        shutil.copyfile(part, copy)
    monkeypatch.setattr(shuffling_module, "BLOCK_BYTES", 100_000)
    monkeypatch.setattr(shuffling_module, "FILES", 4)
    monkeypatch.setattr(shuffling_module, "PICKED", 0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 20, limits[1]))
    try:
        (made,) = stream().close(copies, Context(tmp_path / "out", "dataset"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert same(read(made)[0], {name: np.repeat(values, 300, axis=0) for name, values in once.items()})


def test_small_chunks_and_many_folds_cost_no_space(ntuples, tmp_path, monkeypatch):
    """Chunks are collected into blocks, and a block does not grow with the number of folds."""
    sizes = []
    for folds, chunk in ((5, 1000), (5, 7), (255, 7)):
        parts = interrupted(
            monkeypatch,
            ntuples[0],
            tmp_path / f"{folds}-{chunk}",
            stream(folds=Folds(folds, (0,), (1,), ())),
            chunk=chunk,
        )
        sizes.append(sum(part.stat().st_size for part in parts))
    assert sizes[1] == sizes[0]
    assert sizes[2] < 1.1 * sizes[0]


def test_interrupted_inside_hdf5(tmp_path):
    layout = DatasetLayout(TrainingSet(inputs={"TauJets": (Variable("pt"),)}, target="TauJets.eta"))
    rows = np.zeros(4, layout.row_type())
    writer = DatasetWriter(tmp_path / "d.h5", layout, 4)
    writer._target.error = KeyboardInterrupt()  # as a Ctrl-C while HDF5 writes leaves it
    with pytest.raises(KeyboardInterrupt):
        writer.append(rows, {}, np.arange(4))
    with pytest.raises(KeyboardInterrupt):
        writer.__exit__(None, None, None)


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from hepflow.errors import OutputError
import conftest
from hepflow import Context, Folds, Job, TrainingSet
from hepflow.execution import RunOptions, run
job = Job("dataset")
job += conftest.decay_mode_stream()
limit = int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    run(job, RunOptions(inputs=[sys.argv[2]], output=sys.argv[3]))
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "words"), [(300_000, "part of the data set"), (1_000_000, "training set")])
def test_no_space(ntuples, tmp_path, limit, words):
    """A limit on the size of files stands for a full disk: the parts have 0.9 MB; the file without LZ4 would have."""
    arguments = [Path(training_files.__file__).parent, ntuples[0][0], tmp_path / "run", limit]
    text = LIMITED.replace("decay_mode_stream()", "decay_mode_stream(Compression='none')")
    done = subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert words in done.stdout, done.stderr[-2000:]
    assert "is the disk full?" in done.stdout
    assert done.returncode == 0, "HDF5 crashes as the program ends where it could not close a file"
    assert not [path for path in (tmp_path / "run").iterdir() if path.suffix in (".h5", ".part")]
