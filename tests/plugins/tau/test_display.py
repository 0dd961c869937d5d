"""Pictures of taus against plain Python: which taus, which objects, where they are."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hepflow import Events, Job
from hepflow.errors import PropertyError
from hepflow.execution import RunOptions, run
from hepflow.plots import EventDisplay
from hepflow.plugins.tau import PFOCountDecayMode, TauEventDisplay, TauTruthMatching
from hepflow.plugins.tau.display import First
from hepflow.plugins.tau.modes import MODES

CAPS = {"charged tracks": 3, "neutral PFOs": 8, "shots": 6, "conversion tracks": 4}
NEUTRAL, SHOTS = "TauNeutralParticleFlowObjects", "TauShotParticleFlowObjects"


def wrapped(angle):
    return (angle + math.pi) % (2 * math.pi) - math.pi


def single(number):
    return float(np.float32(number))


def objects_of(event, tau):
    """The objects around a tau, written down from the definition, by descending pt."""

    def linked(link, container, passes):
        found = [event[container][i] for i in tau[link] if i is not None and passes(event[container][i])]
        return sorted(found, key=lambda one: -single(one["pt"]))

    found = {
        "charged tracks": linked("tauTrackLinks", "TauTracks", lambda one: one["flagSet"] & 1 << 5),
        "neutral PFOs": linked("neutralPFOLinks", NEUTRAL, lambda one: single(one["pt"]) >= 1500),
        "shots": linked("shotPFOLinks", SHOTS, lambda one: one["tauShots_nPhotons"] >= 1),
        "conversion tracks": linked("tauTrackLinks", "TauTracks", lambda one: one["flagSet"] & 1 << 7),
    }
    return {kind: objects[: CAPS[kind]] for kind, objects in found.items()}


def check(display, event, tau):
    """Compare a picture with the tau that it shows."""
    eta, phi = single(tau["etaIntermediateAxis"]), single(tau["phiIntermediateAxis"])
    assert [marks.label for marks in display.marks] == list(CAPS)
    for marks, objects in zip(display.marks, objects_of(event, tau).values(), strict=True):
        assert marks.pt == pytest.approx([single(one["pt"]) / 1000 for one in objects])
        assert marks.eta == pytest.approx([single(one["eta"]) - eta for one in objects], abs=1e-6)
        assert marks.phi == pytest.approx([wrapped(single(one["phi"]) - phi) for one in objects], abs=1e-6)
        tracks = [one for one in objects if "flagSet" in one]
        assert marks.end_eta == pytest.approx([single(one["CaloSamplingEtaEM"]) - eta for one in tracks], abs=1e-6)
        wanted = [wrapped(single(one["CaloSamplingPhiEM"]) - phi) for one in tracks]
        assert marks.end_phi == pytest.approx(wanted, abs=1e-6)


class Numbers(TauEventDisplay):
    """The tool without its drawing, which takes its time."""

    def finalize(self, total, context):
        return total


def pictures(path, output, *tools, kind=Numbers, **properties):
    """Run the tool and return its pictures by class, and the run directory."""
    job = Job("test")
    for tool in tools:
        job += tool
    job += kind("Displays", **properties)
    result = run(job, RunOptions(inputs=[str(path)], output=str(output), chunk=7))
    (found,) = result.results["Displays"].values()
    return {label: first.found for label, first in found.items()}, result.directory


def test_all_taus_of_given_events(xaod, tmp_path):
    chosen = [event for event in xaod.events if len(event["TauJets"]) > 1][:3]
    numbers = [event["EventInfo"]["eventNumber"] for event in chosen]
    found, _ = pictures(xaod, tmp_path / "run", EventNumbers=numbers)
    assert list(found) == [f"event{number}" for number in numbers]
    for event, displays in zip(chosen, found.values(), strict=True):
        assert len(displays) == len(event["TauJets"])
        for display, tau in zip(displays, event["TauJets"], strict=True):
            check(display, event, tau)
            assert f"event {event['EventInfo']['eventNumber']}" in display.texts[0]
            assert f"$p_{{T}}$ = {single(tau['pt']) / 1000:.3g} GeV" in display.texts[0]


def test_pictures_with_their_numbers(xaod, tmp_path, caplog):
    event = next(event for event in xaod.events if len(event["TauJets"]) > 1)
    number = event["EventInfo"]["eventNumber"]
    numbers = [number, 999_999]
    found, directory = pictures(xaod, tmp_path / "run", kind=TauEventDisplay, EventNumbers=numbers)
    names = [f"event{number}_{n}" for n in range(1, len(event["TauJets"]) + 1)]
    files = {path.name for path in (directory / "Displays").iterdir()}
    assert files == {f"{name}.{ending}" for name in names for ending in ("json", "pdf", "png")}
    for name, display in zip(names, found[f"event{number}"], strict=True):
        content = json.loads((directory / "Displays" / f"{name}.json").read_text())
        assert [EventDisplay.from_json(plot) for plot in content["plots"]] == [display]
    assert "Displays: there is no tau of the events 999999" in caplog.text


def test_the_first_of_each_true_decay_mode(xaod, tmp_path):
    tools = TauTruthMatching("Truth", DataType="JET"), PFOCountDecayMode("Count", NeutralPFOPtCut=3.0)
    found, _ = pictures(xaod, tmp_path / "run", *tools, Number=2)
    assert set(found) <= set(MODES)
    assert max(map(len, found.values())) == 2
    taus = [(event, tau) for event in xaod.events for tau in event["TauJets"]]
    for mode, displays in found.items():
        last = -1
        for display in displays:
            shown = [k for k, (_, t) in enumerate(taus) if f"{single(t['pt']) / 1000:.3g} GeV" in display.texts[0]]
            position = next(k for k in shown if f"event {taus[k][0]['EventInfo']['eventNumber']}" in display.texts[0])
            check(display, *taus[position])
            event, tau = taus[position]
            count = sum(single(event[NEUTRAL][i]["pt"]) > 3000 for i in tau["neutralPFOLinks"])
            counted = {1: ["1p0n", "1p1n", "1pXn"], 3: ["3p0n", "3pXn", "3pXn"]}.get(tau["nTracks"])
            reco = counted[min(count, 2)] if counted else ("other" if tau["nTracks"] in (2, 4) else "none")
            assert display.label == f"truth: {mode}, PFO count: {reco}"
            assert position > last
            last = position


def test_without_truth_and_decisions(xaod, tmp_path):
    found, _ = pictures(xaod, tmp_path / "run", Number=3, Selection="TauJets.pt > 40000")
    assert list(found) == ["tau"]
    taus = [(event, tau) for event in xaod.events for tau in event["TauJets"] if single(tau["pt"]) > 40e3]
    assert len(found["tau"]) == 3
    for display, (event, tau) in zip(found["tau"], taus, strict=False):
        assert display.label == ""
        check(display, event, tau)


def test_chunks_and_units_change_nothing(xaods, tmp_path):
    folder, files = xaods
    assert len(files) == 3
    found = []
    for chunk in (7, 1000):
        job = Job("test")
        job += TauTruthMatching("Truth", DataType="JET")
        job += Numbers("Displays", Number=2)
        options = RunOptions(inputs=[str(folder)], output=str(tmp_path / str(chunk)), chunk=chunk)
        found.append(run(job, options).results["Displays"])
    assert found[0] == found[1]


def test_tracks_that_do_not_arrive(xaod, arrays):
    columns = arrays(xaod.events)
    far = columns["TauTracks.CaloSamplingEtaEM"] * 0 - 1111.0
    columns |= {"TauTracks.CaloSamplingEtaEM": far, "TauTracks.CaloSamplingPhiEM": far}
    tool, result = TauEventDisplay("Displays", Number=50), {}
    tool.execute(Events.from_arrays(columns), result)
    marks = [group for display in result[""]["tau"].found for group in display.marks]
    ends = [x for group in marks for x in (*group.end_eta, *group.end_phi)]
    assert len(ends) > 20
    assert all(map(math.isnan, ends))


def test_first_pictures_add_up_in_order():
    a, b, c = (EventDisplay((), label) for label in "abc")
    assert (First(2, (a,)) + First(2, (b, c))).found == (a, b)
    assert (First(2) + First(2, (c,))).found == (c,)
    with pytest.raises(PropertyError, match="below its minimum 1"):
        TauEventDisplay("Displays", Number=0)
