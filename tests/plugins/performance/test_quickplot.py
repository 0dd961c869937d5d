"""hepflow plot: numbers against plain Python, figures beside them, messages."""

from __future__ import annotations

import json
import shutil

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.plugins.tau.performance import PT


def rows(outcome):
    """The table of a run: (variable, class, …) → cells."""
    lines = outcome.out.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.startswith("variable ")]
    columns = [word for word in lines[head].split("  ") if word]
    found = {}
    for line in lines[head + 1 :]:
        cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        if len(cells) != len(columns):
            break
        cells = dict(zip([c.strip() for c in columns], cells, strict=True))
        found[(cells["variable"], *([cells["class"]] if "class" in cells else []))] = cells
    return found


def drawn(path):
    """The histograms of a figure, from the numbers beside it."""
    return json.loads(path.with_suffix(".json").read_text())["plots"]


def expect(cells, values, low, high):
    """Compare a line of the table with what plain Python finds."""
    values = np.array(values, dtype=np.float64)
    inside = values[(values >= low) & (values < high)]
    assert cells["entries"] == f"{len(values):,}"
    assert cells["outside"] == f"{len(values) - len(inside):,}"
    assert float(cells["mean"]) == pytest.approx(inside.mean(), rel=1e-4)
    assert float(cells["rms"]) == pytest.approx(inside.std(), rel=1e-3)


def test_known_variables_columns_and_expressions(hepflow, xaods, tmp_path):
    folder, files = xaods
    done = hepflow("plot", "pt:low", "m", "pt / ptIntermediateAxis:10;0;2", "-i", folder, "-o", "out").fine()
    taus = [tau for file in files for tau in file.taus()]
    table = rows(done)
    expect(table["TauJets.pt_low",], [tau["pt"] / 1000 for tau in taus], 20, 100)
    expect(table["TauJets.m",], [tau["m"] for tau in taus], -1e9, 1e9)
    ratio = [tau["pt"] / tau["ptIntermediateAxis"] for tau in taus]
    expect(table["TauJets.pt_TauJets.ptIntermediateAxis_10_0_2",], ratio, 0, 2)
    assert "range    TauJets.m: " in done
    assert f"chosen from the first {sum(len(file.events) for file in files)} entries" in done
    for name in ("TauJets.pt_low", "TauJets.m", "TauJets.pt_TauJets.ptIntermediateAxis_10_0_2"):
        assert f"{name}.png" in done
        for suffix in ("png", "pdf", "json"):
            assert (tmp_path / "out" / f"{name}.{suffix}").stat().st_size > 500
    assert drawn(tmp_path / "out" / "TauJets.m.png")[0]["layout"]["axes"][0]["unit"] == "MeV"
    (plot,) = drawn(tmp_path / "out" / "TauJets.pt_low.png")
    assert plot["layout"]["axes"][0]["label"] == PT.label
    counts, _ = np.histogram([tau["pt"] / 1000 for tau in taus], np.linspace(20, 100, 21))
    assert plot["derived"]["values"] == counts.tolist()


def test_the_range_that_is_named_gives_the_same_again(hepflow, xaod, tmp_path):
    first = hepflow("plot", "eta * 3", "-i", xaod, "-o", "a").fine()
    (said,) = [line for line in first.out.splitlines() if line.startswith("range ")]
    text = said.partition("'")[2].partition("'")[0]
    second = hepflow("plot", text, "-i", xaod, "-o", "b").fine()
    assert "range " not in second.out
    (one,), (other,) = (drawn(next((tmp_path / name).glob("*.png"))) for name in "ab")
    assert one == other


def test_cut_weight_and_classes(hepflow, xaod):
    done = hepflow(
        "plot", "eta", "-i", xaod, "--cut", "pt > 30000", "--weight", "EventInfo.beamSpotWeight * 2",
        "--split-by", "nTracks", "--normalise", "--log-y",
    ).fine()  # fmt: skip
    pairs = [(event, tau) for event in xaod.events for tau in event["TauJets"] if tau["pt"] > 30000]
    table = rows(done)
    for number in sorted({tau["nTracks"] for _, tau in pairs}):
        chosen = [(e, tau) for e, tau in pairs if tau["nTracks"] == number and abs(tau["eta"]) < 2.5]
        weights = [2 * event["EventInfo"]["beamSpotWeight"] for event, _ in chosen]
        cells = table["TauJets.eta", f"number of tracks = {number}"]
        assert cells["entries"] == str(sum(tau["nTracks"] == number for _, tau in pairs))
        assert float(cells["weights inside"]) == pytest.approx(sum(weights), rel=1e-4)
        assert float(cells["mean"]) == pytest.approx(
            np.average([t["eta"] for _, t in chosen], weights=weights), rel=1e-3
        )
    assert len(table) == len({tau["nTracks"] for _, tau in pairs})
    assert "all values in the first 60 entries" in done


@pytest.mark.parametrize(
    ("split", "classes"),
    [
        ("nTracks > 1", {"nTracks > 1": lambda t: t["nTracks"] > 1, "not (nTracks > 1)": lambda t: t["nTracks"] <= 1}),
        (
            "pt:2;20;80",
            {
                "20 ≤ pT < 50 GeV": lambda t: 20e3 <= t["pt"] < 50e3,
                "50 ≤ pT < 80 GeV": lambda t: 50e3 <= t["pt"] < 80e3,
            },
        ),
        ("NNDecayMode", {"1p0n": lambda t: t["NNDecayMode"] == 0, "3pXn": lambda t: t["NNDecayMode"] == 4}),
    ],
)
def test_classes(hepflow, make_arrays, tmp_path, split, classes):
    import awkward as ak
    import uproot

    events, columns = make_arrays(80)
    modes = np.random.default_rng(1).integers(0, 7, ak.sum(ak.num(columns["TauJets.pt"]))).astype(np.int32)
    columns["TauJets.NNDecayMode"] = ak.unflatten(modes, ak.num(columns["TauJets.pt"]))
    taus = [tau for event in events for tau in event["TauJets"]]
    for tau, mode in zip(taus, modes.tolist(), strict=True):
        tau["NNDecayMode"] = mode
    with uproot.recreate(tmp_path / "aod.root") as file:
        wanted = {
            n: v
            for n, v in columns.items()
            if n in ("TauJets.pt", "TauJets.m", "TauJets.nTracks", "TauJets.NNDecayMode")
        }
        file.mkrntuple("EventData", ak.zip({n.replace(".", "AuxDyn:"): v for n, v in wanted.items()}, depth_limit=1))
    done = hepflow("plot", "m:10;0;2000", "-i", "aod.root", "--split-by", split).fine()
    table = rows(done)
    for label, passes in classes.items():
        expect(table["TauJets.m_10_0_2000", label], [tau["m"] for tau in taus if passes(tau)], 0, 2000)
    if len(classes) == len(table):
        assert {label for _, label in table} == set(classes)
    else:
        assert [label for _, label in table] == ["1p0n", "1p1n", "1pXn", "3p0n", "3pXn"]


def test_the_text_and_the_look_of_the_figures(hepflow, xaod, tmp_path):
    asked = ("--label", "My lab", "--style", "CMS", "--ratio", "--split-by", "pt > 40000")
    hepflow("plot", "pt:low", "-i", xaod, "-o", "out", *asked).fine()
    numbers = json.loads((tmp_path / "out" / "TauJets.pt_low.json").read_text())
    assert (numbers["style"]["text"], numbers["style"]["sheet"]) == ("My lab", "CMS")
    assert numbers["options"]["ratio"] is True
    (tmp_path / "wrong.mplstyle").write_text("axes.titlesizes: 3\n")
    hepflow("plot", "pt:low", "-i", xaod, "--style", "wrong.mplstyle").failed("axes.titlesizes", "'axes.titlesize'")
    hepflow("plot", "pt:low", "-i", xaod, "--style", "CMSS").failed("no style sheet 'CMSS'", "'CMS'")
    hepflow("plot", "pt:low", "-i", xaod, "--ratio").failed("--ratio compares curves", status=2)
    hepflow("plot", "pt:20,0,9", xaod, "-i", xaod).failed("each input has an -i of its own", status=2)
    hepflow("plot", "pt:20,0,9", "-i", xaod).failed("did you mean 'TauJets.pt:20;0;9'?")


def test_inputs_on_top_of_each_other(hepflow, xaod, tmp_path):
    copies = [tmp_path / f"{name}.root" for name in ("low", "high", "seen")]
    for copy in copies:
        shutil.copy(str(xaod), copy)
    low, high, seen = (("-i", f"{path.stem}={path}") for path in copies)
    asked = ("pt:20;0;2e5", *low, *high, *seen, "--stack", "--weight", "2")
    hepflow("plot", *asked, "--data", "see", "-o", "no").failed("no input is called 'see'", "did you mean 'seen'?")
    hepflow("plot", "pt", *low, "--stack").failed("all inputs are one sample, 'low'")
    hepflow("plot", *asked, "--data", "seen", "-o", "out").fine()
    sums = {row["sample"]: row["yield"] for row in json.loads((tmp_path / "out" / "yields.json").read_text())}
    taus = len(xaod.taus())
    assert sums == {"low": 2 * taus, "high": 2 * taus, "seen": taus}


def test_two_dimensions(hepflow, xaod, tmp_path):
    done = hepflow("plot", "m:4;0;2000", "--against", "eta:5;-2.5;2.5", "-i", xaod, "-o", "out").fine()
    assert set(rows(done)) == {("TauJets.m_4_0_2000",), ("TauJets.eta_5_-2.5_2.5",)}
    (path,) = (tmp_path / "out").glob("*.png")
    (plot,) = drawn(path)
    taus = xaod.taus()
    counts, _, _ = np.histogram2d(
        [tau["eta"] for tau in taus], [tau["m"] for tau in taus], [np.linspace(-2.5, 2.5, 6), np.linspace(0, 2000, 5)]
    )
    assert plot["derived"]["values"] == counts.tolist()


def test_samples_and_workers(hepflow, xaods, tmp_path):
    folder, files = xaods
    parts = ["-i", f"one={folder / 'part0.root'}", "-i", f"two={folder / 'part1.root'}"]
    outs = [hepflow("plot", "eta", *parts, "-j", j, "-o", f"j{j}").fine() for j in (1, 2)]
    tables = [outcome.out.partition("variable")[2].partition("figure")[0] for outcome in outs]
    assert tables[0] == tables[1]
    for name, file in zip(("one", "two"), files, strict=False):
        (line,) = [line for line in tables[0].splitlines() if f" {name} " in line]
        assert line.split()[2] == str(len(file.taus()))
    assert drawn(tmp_path / "j1" / "TauJets.eta.png") == drawn(tmp_path / "j2" / "TauJets.eta.png")


def test_values_that_are_missing_are_counted_apart(hepflow, xaod):
    done = hepflow("plot", "sqrt(eta):10;0;2", "-i", xaod).fine()
    (cells,) = rows(done).values()
    assert cells["without value"] == str(sum(tau["eta"] < 0 for tau in xaod.taus()))
    assert cells["entries"] == str(sum(tau["eta"] >= 0 for tau in xaod.taus()))


def test_nothing_passes(hepflow, xaod, tmp_path):
    cut = "pt > 1e9 and pt > 20"
    done = hepflow("plot", "m", "eta", "-i", xaod, "--cut", cut, "--split-by", "nTracks", "-o", "out").fine()
    assert "TauJets.pt is in MeV in this input; for GeV write 20*GeV" in done.out
    assert "nothing passes 'pt > 1e9 and pt > 20': the figures are empty" in done
    assert {cells["mean"] for cells in rows(done).values()} == {"-"}
    for name in ("m", "eta"):
        (plot,) = drawn(tmp_path / "out" / f"TauJets.{name}.png")
        assert plot["note"] == "no entries"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["ptt"], ["plot reads TauJets.ptt, which is not there", "did you mean 'pt'"]),
        (["pt", "--cut", "etaa > 0"], ["TauJets.etaa", "did you mean 'eta'"]),
        (["pt:logg"], ["no binning 'logg'", "did you mean 'log'"]),
        (["pt +"], ["no expression"]),
        (["pt", "--split-by", "m"], ["values, too many", "--split-by 'm:NUMBER;LOW;HIGH'"]),
        (["pt", "--split-by", "m:20;0;1000"], ["20 bins are too many", "at most 10"]),
        (["pt", "pt"], ["TauJets.pt is there twice"]),
        (["pt", "--cut", "pt"], ["the cut 'TauJets.pt' is no cut"]),
        (["TauTracks.pt", "--cut", "pt > 1"], ["TauTracks and TauJets have objects of their own"]),
    ],
)
def test_what_cannot_be_plotted(hepflow, xaod, arguments, texts):
    hepflow("plot", "-i", xaod, *arguments).failed(*texts)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Missing argument"),
        (["pt"], "Missing option '-i'"),
        (["pt", "-i", "x.root", "--against", "eta", "--log-y"], "--against plots in two dimensions"),
        (["pt", "-i", "x.root", "--resume", "--force"], "--resume and --force exclude each other"),
    ],
)
def test_wrong_usage(hepflow, arguments, text):
    hepflow("plot", *arguments).failed(text, status=2)


def test_the_folder_is_kept_unless_force_is_given(hepflow, xaod, tmp_path):
    hepflow("plot", "eta", "-i", xaod, "-o", "out").fine()
    hepflow("plot", "pt", "-i", xaod, "-o", "out").failed("the output folder out exists already")
    hepflow("plot", "pt", "-i", xaod, "-o", "out", "--force").fine()
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["TauJets.pt.png"]
    again = hepflow("plot", "pt", "-i", xaod, "-o", "out", "--resume").fine()
    assert again.out.count("TauJets.pt") >= 2


@pytest.fixture
def ntuple(tmp_path):
    """Muons of a NanoAOD, lists of jets that nothing counts, and values of the event."""
    counts, lists = [2, 0, 1], [[10.0, 20.0, 30.0], [], [40.0]]
    pt = ak.unflatten(np.array([10, 20, 30], dtype="f4"), counts)
    with uproot.recreate(tmp_path / "n.root") as file:
        tree = file.mktree(
            "nominal",
            {
                "mBB": "f4",
                "jet-pt": "f4",
                "jet_pt": "var * float64",
                "jet_eta": "var * float64",
                "Muon": ak.types.ListType(ak.types.RecordType([ak.types.NumpyType("float32")] * 2, ["pt", "eta"])),
            },
            counter_name=lambda counted: f"n{counted}",
            field_name=lambda outer, inner: f"{outer}_{inner}",
        )
        singles = {"mBB": np.arange(3, dtype="f4"), "jet-pt": np.arange(3, dtype="f4")}
        jets = ak.Array(lists)
        tree.extend({**singles, "Muon": ak.zip({"pt": pt, "eta": pt / 10}), "jet_pt": jets, "jet_eta": jets / 10})
    return tmp_path / "n.root"


def test_names_that_need_no_container(hepflow, ntuple):
    table = rows(hepflow("plot", "mBB", "Muon_pt", "`jet-pt`:3;0;3", "-i", ntuple, "-o", "out").fine())
    assert table["nominal.mBB",]["mean"] == "1"
    assert table["Muon.pt",]["entries"] == "3"
    assert table["nominal.jet-pt_3_0_3",]["entries"] == "3"
    table = rows(hepflow("plot", "eta", "--cut", "Muon_pt > 15", "-i", ntuple, "-o", "cut").fine())
    expect(table["Muon.eta",], [2, 3], -10, 10)
    failed = hepflow("plot", "mBC", "-i", ntuple, "-o", "none").failed()
    assert "no container of the input has a column 'mBC'" in failed.err
    assert "did you mean 'mBB'" in failed.err
    failed = hepflow("plot", "jet-pt", "-i", ntuple, "-o", "none").failed()
    assert "a name with other characters is quoted: `jet-pt`" in failed.err


def test_a_bare_name_of_several_containers_is_no_guess(hepflow, tmp_path):
    with uproot.recreate(tmp_path / "two.root") as file:
        file.mktree("tree", {"Jet.pt": "f4", "Muon.pt": "f4"}).extend({name: [1.0] for name in ("Jet.pt", "Muon.pt")})
    assert "say which: Jet.pt, Muon.pt" in hepflow("plot", "pt", "-i", "two.root", "-o", "out").failed().err


def test_elements_of_lists_are_plotted(hepflow, ntuple):
    arguments = ["--cut", "jet_eta > 1.5 and mBB < 2", "--weight", "mBB + 1", "-i", ntuple, "-o", "out"]
    table = rows(hepflow("plot", "jet_pt", *arguments).fine())
    expect(table["nominal.jet_pt",], [20, 30], 0, 100)
    table = rows(hepflow("plot", "nominal.Muon_pt", "-i", ntuple, "-o", "second").fine())
    expect(table["nominal.Muon_pt",], [10, 20, 30], 0, 100)
    once = "any(nominal.jet_eta > 1.5) keeps events once"
    cut = ["--cut", "jet_eta > 1.5", "-i", ntuple, "--force", "-o", "out"]
    repeats = f"nominal.mBB is drawn once for each element of nominal.jet_eta that passes; {once}"
    assert repeats in " ".join(hepflow("plot", "mBB", *cut).fine().out.split())
    assert "note" not in hepflow("plot", "mBB", "--cut", "any(jet_eta > 1.5)", *cut[2:]).fine().out
    failed = hepflow("plot", "jet_pt", "--cut", "Muon.pt > 3", "-i", ntuple, "-o", "none").failed()
    assert "nominal.jet_pt" in failed.err
    assert "Muon.pt" in failed.err
