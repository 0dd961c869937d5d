"""The decay-mode network, applied to taus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Events, Property
from hepflow.errors import NetworkError, nearest
from hepflow.plugins.networks.models import ModelTool
from hepflow.plugins.tau.decaymode import decay_mode_reads, decay_mode_sequences
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS

if TYPE_CHECKING:
    from hepflow.protocols import Model

__all__ = ["SHIPPED_NETWORK", "NNDecayModeClassifier", "decide"]

SHIPPED_NETWORK = "NNDecayMode_Gammatautau_v2.json"
"""The network that comes with hepflow; docs/training.md says how it is made."""


def decide(
    probabilities: npt.NDArray[Any], n_tracks: npt.NDArray[Any], *, ensure_track_consistency: bool
) -> npt.NDArray[np.int32]:
    """Return the decay modes 0…4 of taus with these probabilities, (n_taus, 5).

    With the consistency rule of Athena's ``TauDecayModeNNClassifier`` a tau with one track is one of the first three
    modes, one with three tracks one of the last two; any other number of tracks leaves all five. Of equal
    probabilities the first wins.
    """
    allowed = np.ones(probabilities.shape, dtype=bool)
    if ensure_track_consistency:
        allowed[n_tracks == 1, 3:] = False
        allowed[n_tracks == 3, :3] = False
    best: npt.NDArray[Any] = np.argmax(np.where(allowed, probabilities, -1.0), axis=1)
    return best.astype(np.int32)


class NNDecayModeClassifier(ModelTool):
    """Decorate taus with the decay mode of a network: ``NNDecayMode`` (0…4 = 1p0n…3pXn) and five probabilities.

    The weight file is lwtnn JSON or ONNX with the inputs and labels of ATLAS's decay-mode networks. The probabilities
    are those of the network; the track-consistency rule acts on the decision alone.

    With the networks of a k-fold training (``WeightFile="network/*/model.onnx"``) every tau gets the network that was
    tested on its fold, and therefore has not seen it. Rule and folds are those that the networks say of themselves.

    The default network was trained on hepflow's built-in sample, which is no ATLAS simulation: it is for trying
    things out.
    """

    selects = False

    energy_unit = "MeV"

    OutputName = Property("NNDecayMode", "name of the decoration with the decay mode (int)")
    ProbPrefix = Property(
        "NNDecayModeProb_", "what stands before 1p0n … 3pXn in the names of the probabilities (float)"
    )
    WeightFile = Property(
        SHIPPED_NETWORK,
        "the network; a pattern (network/*/model.onnx) means those of a k-fold training",
        file=True,
    )
    NeutralPFOPtCut = Property(1.5, "neutral particle-flow objects have at least this pt", unit="GeV", minimum=0)
    MaxTauTracks = Property(SEQUENCE_CAPS["TauTrack"], "most tracks", minimum=1)
    MaxNeutralPFOs = Property(SEQUENCE_CAPS["NeutralPFO"], "most neutral particle-flow objects", minimum=1)
    MaxShotPFOs = Property(SEQUENCE_CAPS["ShotPFO"], "most shots", minimum=1)
    MaxConvTracks = Property(SEQUENCE_CAPS["ConvTrack"], "most conversion tracks", minimum=1)
    EnsureTrackConsistency = Property(True, "a tau with 1 (3) tracks gets a one-prong (three-prong) mode")
    DecorateProb = Property(True, "decorate the probabilities too")

    def open(self, path: str) -> Model:
        """Return the network; NetworkError where it is none of decay modes."""
        model = super().open(path)
        _check(model, path)
        return model

    def reads(self) -> Sequence[str]:
        """Return the columns of the inputs; the weight files are checked here, before any event."""
        self.models()
        return [*decay_mode_reads(), "TauJets.nTracks", *self.number_reads()]

    def writes(self) -> Sequence[str]:
        """Return the decorations."""
        probabilities = [f"TauJets.{self.ProbPrefix}{mode}" for mode in MODES] if self.DecorateProb else []
        return [f"TauJets.{self.OutputName}", *probabilities]

    def record(self) -> Mapping[str, Any]:
        """Return which network decorated, and what is known of it (see ``ModelTool.decorated``)."""
        return self.decorated(self.writes()) | {"OutputName": self.OutputName, "ProbPrefix": self.ProbPrefix}

    def execute(self, events: Events, result: Any) -> None:
        """Calculate the inputs of all taus of the chunk, evaluate, decide, decorate."""
        taus = events["TauJets"]
        caps = {
            "TauTrack": self.MaxTauTracks,
            "NeutralPFO": self.MaxNeutralPFOs,
            "ShotPFO": self.MaxShotPFOs,
            "ConvTrack": self.MaxConvTracks,
        }
        raw = decay_mode_sequences(events, neutral_pt_cut=self.NeutralPFOPtCut, caps=caps)
        model = self._models[0]
        sequences = {node.name: _network_input(node.name, node.names, *raw[node.name]) for node in model.used_sequences}
        output = model.outputs[0]
        order = [output.labels.index(name) for name in CLASSES]
        values = self.evaluate(events, "TauJets", {}, sequences)[output.name]
        probabilities = values[:, order].astype(np.float32)
        taus[self.OutputName] = decide(
            probabilities, taus.flat("nTracks"), ensure_track_consistency=self.EnsureTrackConsistency
        )
        if self.DecorateProb:
            for position, mode in enumerate(MODES):
                taus[f"{self.ProbPrefix}{mode}"] = probabilities[:, position]


def _network_input(
    sequence: str, names: Sequence[str], counts: npt.NDArray[np.int64], raw: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """Return the transformed variables that a network wants of a sequence, and the objects per tau."""
    declared = {variable.name: variable for variable in DECAY_MODE_VARIABLES[sequence]}
    return {name: declared[name](raw[declared[name].column]) for name in names}, counts


def _check(network: Model, path: str) -> None:
    """Raise NetworkError unless the network has the inputs and labels of a decay-mode network."""
    scalars = [name for node in network.used_inputs for name in node.names]
    if scalars:
        raise NetworkError(
            f"the network wants scalar inputs ({', '.join(scalars)}); a decay-mode network has none", where=path
        )
    for node in network.used_sequences:
        if node.name not in DECAY_MODE_VARIABLES:
            hint = nearest(node.name, DECAY_MODE_VARIABLES, what="sequences")
            raise NetworkError(
                f"the network wants a sequence {node.name!r}, which taus do not have", where=path, hint=hint
            )
        known = [variable.name for variable in DECAY_MODE_VARIABLES[node.name]]
        for name in node.names:
            if name not in known:
                hint = nearest(name, known, what="variables")
                raise NetworkError(
                    f"the network wants {name!r} of {node.name}, which is no variable of it", where=path, hint=hint
                )
    labels = network.outputs[0].labels if network.outputs else ()
    if sorted(labels) != sorted(CLASSES):
        raise NetworkError(
            f"the labels of the network's output are {', '.join(labels) or 'missing'}",
            where=path,
            hint=f"expected {', '.join(CLASSES)}",
        )
