"""Shared fixtures: small xAOD-like files that uproot writes, the command line in this process, the ATLAS files."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from filelock import FileLock
from hypothesis import settings

from hepflow.events.links import LINK_PARTS, container_id

settings.register_profile("hepflow", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("hepflow")

os.environ["COLUMNS"] = "240"  # wide tables, whatever terminal the tests run in


def pytest_collection_modifyitems(items):
    """Put what takes long first, so that no process is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name not in ("test_chain.py", "test_docs.py"))


DATA = Path(os.environ.get("HEPFLOW_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))

SHOWER = [
    *("FIRST_ETA", "SECOND_R", "DELTA_THETA", "CENTER_LAMBDA", "LONGITUDINAL", "SECOND_ENG_DENS", "ENG_FRAC_CORE"),
    *("NPosECells_EM1", "NPosECells_EM2", "energy_EM1", "energy_EM2", "EM1CoreFrac"),
    *(f"{order}EtaWRTClusterPosition_{layer}" for order in ("first", "second") for layer in ("EM1", "EM2")),
]
IMPACT = ["d0TJVA", "d0SigTJVA", "z0sinthetaTJVA", "z0sinthetaSigTJVA"]
TRACKS, NEUTRAL, SHOTS = "TauTracks", "TauNeutralParticleFlowObjects", "TauShotParticleFlowObjects"
KEYS = {TRACKS: 215277022, "TruthTaus": 375408000, "TruthElectrons": 394100163, "TruthMuons": 342174277}
"""Keys of element links as ATLAS's software writes them."""
PFO_CLASS = 1177172577
"""Class identifier of xAOD::PFOContainer."""

DTYPES = {
    "TauJets": {"charge": "f4", "nTracks": "i4"},
    TRACKS: {"flagSet": "u2"},
    NEUTRAL: {"cellBased_NPosECells_EM1": "i4", "cellBased_NPosECells_EM2": "i4"},
    SHOTS: {"tauShots_nPhotons": "i4"},
    "TruthTaus": {
        "pt_vis": "f8",
        "eta_vis": "f8",
        "phi_vis": "f8",
        "IsHadronicTau": "i1",
        "DecayModeVector": "i4",
        "numCharged": "u8",
    },
    "EventInfo": {"eventNumber": "u8", "mcEventNumber": "u8"},
}
LINKS = {"tauTrackLinks": TRACKS, "neutralPFOLinks": NEUTRAL, "shotPFOLinks": SHOTS}


def link_hash(name, clid=0):
    """The key of a container, written down from the definition: CRC-64, reflected, all ones at the start."""
    data = name.encode() + clid.to_bytes(8, "little").rstrip(b"\0")
    crc = (1 << 64) - 1
    for bit in (byte >> i & 1 for byte in data for i in range(8)):
        crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if (crc ^ bit) & 1 else 0)
    return crc % (1 << 30)


def make_events(number, seed=1, first=1):
    """Events as plain Python: container → list of objects (dicts), links as lists of positions (None: null link)."""
    rng = np.random.default_rng([seed, first])
    f = lambda low, high: float(np.float32(rng.uniform(low, high)))  # noqa: E731
    events = []
    for count in range(number):
        event = {name: [] for name in ("TauJets", TRACKS, NEUTRAL, SHOTS, "TruthTaus", "TruthElectrons", "TruthMuons")}
        event["EventInfo"] = {
            "eventNumber": 1000 + first + count,
            "mcEventNumber": first + count,
            "beamSpotWeight": f(0.5, 1.5),
        }
        for _ in range(rng.integers(0, 4)):
            event["TauJets"].append(_tau(event, rng, f))
        for tau in event["TauJets"]:
            if rng.random() < 0.7:
                event["TruthTaus"].append(_truth_tau(tau, rng, f))
        for name in ("TruthElectrons", "TruthMuons"):
            for tau in event["TauJets"]:
                if rng.random() < 0.3:
                    event[name].append(_lepton(f(5e3, 9e4), tau["eta"] + f(-0.1, 0.1), tau["phi"]))
        events.append(event)
    return events


def _lepton(pt, eta, phi):
    """A truth particle has components of its momentum, as in an xAOD."""
    return {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta)}


def _tau(event, rng, f):
    tau = {"pt": f(5e3, 9e4), "eta": f(-2.7, 2.7), "phi": f(-np.pi, np.pi), "m": f(0, 2e3)}
    tau |= {"charge": float(rng.integers(-2, 3)), "nTracks": int(rng.integers(0, 5))}
    tau |= {"ptIntermediateAxis": f(5e3, 9e4), "mu": f(20, 70), "nVtxPU": float(rng.integers(1, 40))}
    tau |= {"etaIntermediateAxis": tau["eta"] + f(-0.01, 0.01), "phiIntermediateAxis": tau["phi"] + f(-0.01, 0.01)}
    near = lambda low, high: {  # noqa: E731
        "pt": f(low, high),
        "eta": tau["eta"] + f(-0.2, 0.2),
        "phi": float((tau["phi"] + f(-0.2, 0.2) + np.pi) % (2 * np.pi) - np.pi),
    }
    made = {name: [] for name in LINKS}
    for _ in range(rng.integers(0, 6)):
        bits = 1 << int(rng.choice([5, 5, 5, 6, 7, 8]))
        track = near(500, 4e4) | {"flagSet": bits | 4, "CaloSamplingEtaEM": tau["eta"] + f(-0.1, 0.1)}
        track |= {"CaloSamplingPhiEM": f(-np.pi, np.pi)} | {name: f(-2, 2) for name in IMPACT}
        made["tauTrackLinks"].append(_put(event[TRACKS], track))
    made["tauTrackLinks"] += [None] * int(rng.integers(0, 2))
    for _ in range(rng.integers(0, 5)):
        pfo = near(500, 9e3) | {f"cellBased_{name}": f(-1, 5) for name in SHOWER}
        pfo |= {f"cellBased_NPosECells_EM{i}": int(rng.integers(0, 30)) for i in (1, 2)}
        made["neutralPFOLinks"].append(_put(event[NEUTRAL], pfo))
    for _ in range(rng.integers(0, 5)):
        made["shotPFOLinks"].append(_put(event[SHOTS], near(500, 9e3) | {"tauShots_nPhotons": int(rng.integers(0, 3))}))
    return tau | made


def _put(objects, one):
    objects.append(one)
    return len(objects) - 1


def _truth_tau(tau, rng, f):
    charged = [int(sign) * int(rng.choice([211, 321])) for sign in rng.choice([-1, 1], rng.choice([1, 1, 3, 2]))]
    products = [16, *charged, *[111] * int(rng.integers(0, 4)), *[130] * int(rng.integers(0, 2))]
    return {
        "pt_vis": f(5e3, 9e4),
        "eta_vis": tau["eta"] + f(-0.15, 0.3),
        "phi_vis": tau["phi"] + f(-0.1, 0.1),
        "IsHadronicTau": int(rng.random() < 0.8),
        "DecayModeVector": products,
        "numCharged": len(charged),
    }


def columns_of(events, *, in_file=False):
    """Return ``C.x`` → awkward array (events × objects), links as in the event store, or as in a file."""
    columns = {}
    for name in next(iter(events)) if events else {}:
        if name == "EventInfo":
            for column in events[0][name]:
                dtype = DTYPES[name].get(column, "f4")
                columns[f"{name}.{column}"] = np.array([event[name][column] for event in events], dtype=dtype)
            continue
        known = next((objects[0] for event in events if (objects := event[name])), {})
        for column in known:
            values = [[one[column] for one in event[name]] for event in events]
            if column in LINKS:
                columns[f"{name}.{column}"] = _links(values, LINKS[column], in_file)
            else:
                dtype = DTYPES.get(name, {}).get(column, "f4")
                columns[f"{name}.{column}"] = ak.values_astype(ak.Array(values), np.dtype(dtype))
    return columns


def _links(values, target, in_file):
    key = (KEYS.get(target) or link_hash(target, PFO_CLASS)) if in_file else container_id(target)
    index = ak.Array([[[0 if i is None else i for i in links] for links in event] for event in values])
    keys = ak.Array([[[0 if i is None else key for i in links] for links in event] for event in values])
    names = ("m_persKey", "m_persIndex") if in_file else LINK_PARTS
    keys, index = ak.values_astype(keys, "u4" if in_file else "i8"), ak.values_astype(index, "u4")
    return ak.zip(dict(zip(names, (keys, index), strict=True)))


def write_xaod(path, events, *, kind="RNTuple", drop=(), spell="{}AuxDyn", cluster=20):
    """Write events with uproot: ``EventData`` (RNTuple) or ``CollectionTree`` (TTree, without links and nested lists).

    A new cluster or basket begins every ``cluster`` events. ``drop`` names columns or containers to leave out.
    """
    columns = columns_of(events, in_file=True)
    columns = {name: v for name, v in columns.items() if name not in drop and name.partition(".")[0] not in drop}
    path = Path(path)
    with uproot.recreate(path) as file:
        if kind == "RNTuple":
            _write_rntuple(file, columns, spell, cluster)
        else:
            _write_ttree(file, columns, spell, cluster)
    return path


def _spelled(name, spell, separator):
    container, _, column = name.partition(".")
    return f"{'EventInfoAuxDyn' if container == 'EventInfo' else spell.format(container)}{separator}{column}"


def _write_rntuple(file, columns, spell, cluster):
    fields = {_spelled(name, spell, ":"): values for name, values in columns.items()}
    record = ak.zip(fields, depth_limit=1)
    tree = file.mkrntuple("EventData", record[:cluster])
    for start in range(cluster, len(record), cluster):
        tree.extend(record[start : start + cluster])


def _write_ttree(file, columns, spell, cluster):
    flat = {n: v for n, v in columns.items() if not (isinstance(v, ak.Array) and (v.ndim > 2 or v.fields))}
    groups, single = {}, {}
    for name, values in flat.items():
        outer, _, inner = _spelled(name, spell, ".").partition(".")
        if isinstance(values, ak.Array):
            groups.setdefault(outer, {})[inner] = values
        else:
            single[f"{outer}.{inner}"] = values
    branches = {name: values.dtype for name, values in single.items()}
    zipped = {outer: ak.zip(members) for outer, members in groups.items()}
    branches |= {outer: values.type.content for outer, values in zipped.items()}
    tree = file.mktree(
        "CollectionTree", branches, counter_name=lambda c: f"n{c}", field_name=lambda outer, inner: f"{outer}.{inner}"
    )
    total = len(next(iter(flat.values())))
    for start in range(0, total, cluster):
        tree.extend({name: values[start : start + cluster] for name, values in {**single, **zipped}.items()})


@dataclass
class Xaod:
    """A file with what was written into it."""

    path: Path
    events: list

    def __str__(self):
        return str(self.path)

    def taus(self):
        """All taus of all events."""
        return [tau for event in self.events for tau in event["TauJets"]]


@pytest.fixture(scope="session")
def make_xaod():
    """Write a file: ``make_xaod(path, number, seed=…, first=…, kind=…)``."""

    def make(path, number=60, seed=1, first=1, **options):
        events = make_events(number, seed, first)
        return Xaod(write_xaod(path, events, **options), events)

    return make


@pytest.fixture(scope="session")
def make_arrays():
    """Make events in memory: ``make_arrays(number)`` gives them as plain Python and as columns."""

    def make(number=60, seed=1):
        events = make_events(number, seed)
        return events, columns_of(events)

    return make


@pytest.fixture(scope="session")
def arrays():
    """Turn events (plain Python) into columns: ``arrays(events)`` → ``{"TauJets.pt": awkward array}``."""
    return columns_of


@pytest.fixture(scope="session")
def xaod(tmp_path_factory, make_xaod):
    """An RNTuple of 60 events in clusters of 20."""
    return make_xaod(tmp_path_factory.mktemp("xaod") / "aod.root")


@pytest.fixture(scope="session")
def xaod_ttree(tmp_path_factory, make_xaod):
    """The same events as a TTree, without links."""
    return make_xaod(tmp_path_factory.mktemp("xaod") / "aod_ttree.root", kind="TTree")


@pytest.fixture(scope="session")
def xaods(tmp_path_factory, make_xaod):
    """A folder with three files of 30, 25 and 20 events, numbered on."""
    folder = tmp_path_factory.mktemp("xaods")
    firsts = {1: 30, 31: 25, 56: 20}
    return folder, [make_xaod(folder / f"part{i}.root", n, first=k) for i, (k, n) in enumerate(firsts.items())]


@pytest.fixture
def joboptions(tmp_path):
    """Write a job-option file below ``tmp_path`` and return its path."""

    def write(body, name="job.py"):
        path = tmp_path / name
        head = "from __future__ import annotations\nimport numpy as np\nfrom hepflow import Job, Property, Tool\n"
        head += "from hepflow.plugins.common import LinkedObjects\nfrom hepflow.plugins.tau import *\n"
        head += "from hepflow.streams import MxAODStream, NtupleStream\n"
        path.write_text(head + body, encoding="utf-8")
        return path

    return write


@dataclass
class Outcome:
    """What a command did: exit status and what it printed."""

    status: int
    out: str
    err: str

    def __contains__(self, text):
        return text in self.out + self.err

    def failed(self, *texts, status=1):
        """Assert that it failed with a message that holds these texts, without a traceback."""
        assert self.status == status, self
        for text in texts:
            assert str(text) in self.err, f"{text!r} is not in:\n{self.err}"
        assert "Traceback" not in self.out + self.err
        return self

    def fine(self):
        """Assert that it succeeded."""
        assert self.status == 0, f"{self.out}\n{self.err}"
        return self


@pytest.fixture
def hepflow(capsys, tmp_path, monkeypatch):
    """Run the command line in this process, in ``tmp_path``."""
    from hepflow.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEPFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hepflow.registry.manager._blocked", ())  # what -p switches off comes back after the test

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(stop.value.code or 0, captured.out, captured.err)

    return run


HEPFLOW = [sys.executable, "-c", "from hepflow.cli import main; main()"]
"""The installed command, as a list of words."""


@pytest.fixture
def hepflow_process(tmp_path):
    """Run the command line in a process of its own, in ``tmp_path``."""

    def run(*arguments, **environment):
        done = subprocess.run(
            [*HEPFLOW, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "HEPFLOW_CACHE": str(tmp_path / "cache"), **environment},
            capture_output=True,
            encoding=environment.get("PYTHONIOENCODING", "utf-8"),
            timeout=600,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def read_all(*paths):
    """Return branch → array (awkward) of the only tree or RNTuple of files, in order, read by uproot alone."""
    parts = []
    for path in paths:
        with uproot.open(path) as file:
            name = next(n for n, c in file.classnames(cycle=False).items() if c in ("TTree", "ROOT::RNTuple"))
            tree = file[name]
            parts.append({key: tree[key].array() for key in tree.keys(recursive=False)})
    return {key: ak.concatenate([part[key] for part in parts]) for key in parts[0]}


def assert_same_content(left, right):
    """Assert that two results of ``read_all`` are bitwise the same."""
    assert left.keys() == right.keys()
    for key in left:
        assert left[key].type == right[key].type or str(left[key].type) == str(right[key].type), key
        assert ak.array_equal(left[key], right[key], equal_nan=True), key


@pytest.fixture(scope="session")
def read():
    """``read_all`` as a fixture."""
    return read_all


@pytest.fixture(scope="session")
def assert_same():
    """``assert_same_content`` as a fixture."""
    return assert_same_content


@pytest.fixture(scope="session")
def physlite():
    """Path of an ATLAS file by name; skips where it is absent."""

    def find(name):
        path = DATA / name
        if not path.exists():
            pytest.skip(f"{name} is not in {DATA}; HEPFLOW_TEST_DATA names the folder")
        return path

    return find


@pytest.fixture(scope="session")
def sample_cache():
    """The folder where the built-in samples are kept: the user's own, whose name depends on all that makes a sample."""
    pytest.importorskip("pythia8mc", reason="the built-in sample needs the extra 'sample'")
    from hepflow.execution.cache import cache_directory

    return cache_directory()


CHAIN = (
    "hepflow run NNDecayMode -n 2000 --mode classifier -o mxaod",
    "hepflow run NNDecayModePlots -i mxaod -o performance --variations PILEUP_UP",
)
"""The first commands of docs/plots.md; ``chain`` runs them on twice as many events."""


@pytest.fixture(scope="session")
def chain(tmp_path_factory, sample_cache):
    """The folder with the runs of ``CHAIN``, made once for all processes of pytest-xdist. Not to be changed."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "chain.lock"):
        if not (folder / "chain/performance/report.html").exists():
            (folder / "chain").mkdir(exist_ok=True)
            for command in CHAIN:
                words = command.replace("-n 2000", "-n 4000").split()[1:]
                done = subprocess.run([*HEPFLOW, *words], cwd=folder / "chain", capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
    return folder / "chain"
