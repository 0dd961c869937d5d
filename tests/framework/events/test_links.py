"""Element-link keys: values that files written by ATLAS software hold."""

from __future__ import annotations

import pytest

from hepflow.events.links import CLIDS, key_for, keys_of, link_key

TRUTH_PARTICLES, TAU_TRACKS, JETS = 1237340765, 1306133771, 1244316195

CHECKED = {
    "TauTracks": 215277022,
    "TruthTaus": 375408000,
    "TruthElectrons": 394100163,
    "TruthMuons": 342174277,
    "TruthPhotons": 13267281,
    "TruthBoson": 614719239,
    "TruthNeutrinos": 368360608,
}
IN_PHYSLITE = {"PrimaryVertices": 936461719, "InDetTrackParticles": 490246363, "GSFTrackParticles": 776133387}
IN_DERIVATIONS = {"TauJets": 518718875, "Electrons": 956497600, "Muons": 980095599, "Jets": 452794649}


@pytest.mark.parametrize(("container", "key"), (CHECKED | IN_PHYSLITE).items())
def test_keys_of_atlas_files(container, key):
    assert key_for(container) == key
    assert key in keys_of(container)


@pytest.mark.parametrize(("container", "key"), IN_DERIVATIONS.items())
def test_containers_of_a_derivation_are_known_under_their_short_name(container, key):
    assert key == link_key(f"Analysis{container}", CLIDS[container])
    assert key in keys_of(container)
    assert key_for(container) != key


def test_key_is_made_of_name_and_class():
    assert link_key("TauTracks", TAU_TRACKS) == 215277022
    assert link_key("AntiKt4TruthDressedWZJets", JETS) == 106264553
    assert link_key("TauTracks", TRUTH_PARTICLES) != 215277022
    assert 0 <= link_key("x" * 300, TAU_TRACKS) < 2**30


def test_container_of_unknown_class_is_hashed_by_name():
    assert key_for("MyObjects") == link_key("MyObjects", 0)
    assert key_for("MyObjects") != key_for("MyObjectz")
    assert set(keys_of("MyObjects")) == {key_for("MyObjects"), key_for("AnalysisMyObjects")}


def test_no_two_known_containers_share_a_key():
    keys = [key for container in CLIDS for key in keys_of(container)]
    assert len(set(keys)) == len(keys)
    assert 0 not in keys
