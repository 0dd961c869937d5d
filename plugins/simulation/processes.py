"""The processes that Pythia is asked for, with their settings and cross-sections."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROCESSES", "Process"]

HADRONIC = 0.6479
"""Part of tau decays without electron or muon (Particle Data Group 2024)."""


@dataclass(frozen=True)
class Process:
    """What is generated: Pythia settings and the selection bias (scale / ``lowest``) ** ``power``.

    The scale is the mass of the hard process, or its transverse momentum where ``transverse``; ``lowest`` in GeV.
    ``channel`` is the number written to ``EventInfo.mcChannelNumber``. ``cross_section`` (pb) is that of all decays
    that Pythia is told to make; ``filter_efficiency`` is the part of it that is generated, ``k_factor`` what a better
    calculation multiplies. ``pairs``: only events where each of two Higgs bosons decays to another one of these pairs
    of particles are made. ``roulette``: events that cannot have two taus and two b jets are made less often, with
    larger weights.
    """

    name: str
    settings: tuple[str, ...]
    lowest: float
    power: float
    channel: int
    transverse: bool = False
    doc: str = ""
    cross_section: float | None = None
    filter_efficiency: float = 1.0
    k_factor: float = 1.0
    pairs: tuple[int, ...] = ()
    roulette: bool = False


PROCESSES: dict[str, Process] = {
    "Gammatautau": Process(
        "Gammatautau",
        (
            "WeakSingleBoson:ffbar2gmZ = on",
            "WeakZ0:gmZmode = 1",
            "PhaseSpace:mHatMin = 60.",
            "PhaseSpace:mHatMax = 2000.",
            "23:onMode = off",
            "23:onIfAny = 15",
        ),
        lowest=60.0,
        power=3.0,
        channel=425200,
        doc="pure γ* → ττ, 60–2000 GeV, selection biased by mass³",
        cross_section=51.5,  # Pythia
        filter_efficiency=HADRONIC**2,
    ),
    "Dijet": Process(
        "Dijet",
        ("HardQCD:all = on", "PhaseSpace:pTHatMin = 18.", "PhaseSpace:pTHatMax = 1000."),
        lowest=18.0,
        power=4.0,
        channel=364700,
        transverse=True,
        doc="quark and gluon jets, pT-hat 18–1000 GeV, selection biased by pT-hat⁴",
        cross_section=1.257e9,  # Pythia
    ),
}


WHOLE_EVENTS = ("Beams:eCM = 13600.", "PartonLevel:MPI = on")
"""What differs where whole events are made: Run 3, and the underlying event is Pythia's own."""

PROCESSES |= {
    "HHbbtautau": Process(
        "HHbbtautau",
        (
            *WHOLE_EVENTS,
            "Higgs:useBSM = on",
            "HiggsBSM:gg2H2 = on",
            "35:m0 = 500.",
            "35:mWidth = 0.5",
            "35:doForceWidth = on",
            "35:mMin = 251.",
            "35:onMode = off",
            "35:onIfMatch = 25 25",
            "25:m0 = 125.",
            "25:oneChannel = 1 0.5 100 5 -5",
            "25:addChannel = 1 0.5 100 15 -15",
        ),
        lowest=1.0,
        power=0.0,
        channel=600500,
        pairs=(5, 15),
        doc="X → HH → bbττ of a scalar of 500 GeV, hadronic taus, 13.6 TeV",
        cross_section=1.0,  # stand-in: of X → HH, which no theory fixes
        filter_efficiency=2 * 0.5824 * 0.06272 * HADRONIC**2,  # H → bb, ττ: LHCHWG, arXiv:1610.07922
    ),
    "TTbar": Process(
        "TTbar",
        (*WHOLE_EVENTS, "Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 15"),
        lowest=1.0,
        power=0.0,
        channel=600410,
        doc="tt̄ with both W → τν, hadronic taus, 13.6 TeV",
        cross_section=7.46,  # Pythia's 642 pb, W → τν 0.1078 each
        filter_efficiency=HADRONIC**2,
        k_factor=924.0 / 642.0,  # NNLO + NNLL, LHC top working group, 13.6 TeV
    ),
    "Zjets": Process(
        "Zjets",
        (
            *WHOLE_EVENTS,
            "WeakBosonAndParton:qqbar2gmZg = on",
            "WeakBosonAndParton:qg2gmZq = on",
            "PhaseSpace:pTHatMin = 20.",
            "PhaseSpace:mHatMin = 60.",
            "23:mMin = 60.",
            "23:onMode = off",
            "23:onIfAny = 15",
        ),
        lowest=20.0,
        power=0.0,
        channel=600700,
        transverse=True,
        doc="Z/γ* → ττ with a jet, pT-hat from 20 GeV, hadronic taus, 13.6 TeV; taus and b quarks enriched",
        cross_section=457.0,  # Pythia
        filter_efficiency=HADRONIC**2,
        roulette=True,
    ),
}
