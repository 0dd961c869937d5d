"""The decay-mode network, applied to taus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import NetworkError, nearest
from hepflow.plugins.tau.decaymode import decay_mode_reads, decay_mode_sequences
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training.folds import Folds, kfold_roles
from hepflow.registry.models import model_record, open_model

if TYPE_CHECKING:
    from hepflow.protocols import Model

__all__ = ["SHIPPED_NETWORK", "NNDecayModeClassifier", "decide"]

SHIPPED_NETWORK = "NNDecayMode_Gammatautau_v1.json"
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


class NNDecayModeClassifier(Tool):
    """Decorate taus with the decay mode of a network: ``NNDecayMode`` (0…4 = 1p0n…3pXn) and five probabilities.

    The weight file is lwtnn JSON or ONNX with the inputs and labels of ATLAS's decay-mode networks. The probabilities
    are those of the network; the track-consistency rule acts on the decision alone.

    With the networks of a k-fold training in ``FoldWeightFiles`` every tau gets the network that was tested on its
    fold, and therefore has not seen it. Rule and folds are those that the networks say of themselves.

    The default network was trained on hepflow's built-in sample, which is no ATLAS simulation: it is for trying
    things out.
    """

    energy_unit = "MeV"

    OutputName = Property("NNDecayMode", "name of the decoration with the decay mode (int)")
    ProbPrefix = Property(
        "NNDecayModeProb_", "what stands before 1p0n … 3pXn in the names of the probabilities (float)"
    )
    WeightFile = Property(SHIPPED_NETWORK, "the network: lwtnn JSON or ONNX", file=True)
    FoldWeightFiles: Property[tuple[str, ...]] = Property(
        (), "the networks of a k-fold training, instead of WeightFile", item=str, file=True
    )
    EventNumber = Property("EventInfo.mcEventNumber", "the number that the folds of FoldWeightFiles are made of")
    NeutralPFOPtCut = Property(1.5, "neutral particle-flow objects have at least this pt", unit="GeV", minimum=0)
    MaxTauTracks = Property(SEQUENCE_CAPS["TauTrack"], "most tracks", minimum=1)
    MaxNeutralPFOs = Property(SEQUENCE_CAPS["NeutralPFO"], "most neutral particle-flow objects", minimum=1)
    MaxShotPFOs = Property(SEQUENCE_CAPS["ShotPFO"], "most shots", minimum=1)
    MaxConvTracks = Property(SEQUENCE_CAPS["ConvTrack"], "most conversion tracks", minimum=1)
    EnsureTrackConsistency = Property(True, "a tau with 1 (3) tracks gets a one-prong (three-prong) mode")
    DecorateProb = Property(True, "decorate the probabilities too")

    def reads(self) -> Sequence[str]:
        """Return the columns of the inputs; the weight files are checked here, before any event."""
        for path in self._files():
            _check(open_model(path), path)
        number = [self.EventNumber] if self._folds() else []
        return [*decay_mode_reads(), "TauJets.nTracks", *number]

    def writes(self) -> Sequence[str]:
        """Return the decorations."""
        probabilities = [f"TauJets.{self.ProbPrefix}{mode}" for mode in MODES] if self.DecorateProb else []
        return [f"TauJets.{self.OutputName}", *probabilities]

    def record(self) -> Mapping[str, Any]:
        """Return which network decorated, and what is known of it; of a k-fold set ``kfold`` is the rule, and
        ``networks`` are the records of all.
        """
        own = {"OutputName": self.OutputName, "ProbPrefix": self.ProbPrefix}
        records = [model_record(path) for path in self._files()]
        folds = self._folds()
        if not folds:
            return records[0] | own
        rule = folds[0].record()
        kfold = {key: rule[key] for key in ("rule", "column", "number")}
        names = ", ".join(str(Path(*Path(path).parts[-2:])) for path in self.FoldWeightFiles)
        return {"WeightFile": names, "kfold": kfold, "networks": records} | own

    def _files(self) -> tuple[str, ...]:
        """Return the paths of the networks; NetworkError unless it is clear which are meant."""
        chosen = Path(self.WeightFile).name not in ("", SHIPPED_NETWORK)
        if (self.FoldWeightFiles and chosen) or (not self.FoldWeightFiles and not self.WeightFile):
            given = "has both WeightFile and FoldWeightFiles" if chosen else "has no WeightFile"
            raise NetworkError(f"{self.name} {given}", hint="set one of them, to lwtnn JSON or ONNX files")
        return self.FoldWeightFiles or (self.WeightFile,)

    def _folds(self) -> tuple[Folds, ...]:
        """Return the folds of the networks of FoldWeightFiles, each test fold once."""
        if not self.FoldWeightFiles:
            return ()
        folds = kfold_roles(self.FoldWeightFiles, [open_model(path).record for path in self.FoldWeightFiles])
        if folds[0].column.rpartition(".")[2] != self.EventNumber.rpartition(".")[2]:
            raise NetworkError(
                f"the folds of the networks are made of {folds[0].column}, not of {self.EventNumber}",
                where=self.FoldWeightFiles[0],
                hint=f"set {self.name}.EventNumber",
            )
        return folds

    def initialize(self, context: Context) -> None:
        """Open the networks."""
        self._models = [open_model(path) for path in self._files()]
        self._roles = self._folds()

    def execute(self, events: Events, result: Any) -> None:
        """Calculate the inputs of all taus of the chunk, evaluate, decide, decorate."""
        taus = events["TauJets"]
        caps = {
            "TauTrack": self.MaxTauTracks,
            "NeutralPFO": self.MaxNeutralPFOs,
            "ShotPFO": self.MaxShotPFOs,
            "ConvTrack": self.MaxConvTracks,
        }
        sequences = decay_mode_sequences(events, neutral_pt_cut=self.NeutralPFOPtCut, caps=caps)
        if not self._roles:
            probabilities = _evaluate(self._models[0], sequences)
        else:
            container, _, column = self.EventNumber.partition(".")
            numbers = np.repeat(events[container].flat(column), taus.counts)
            probabilities = np.empty((len(numbers), len(CLASSES)), dtype=np.float32)
            for model, folds in zip(self._models, self._roles, strict=True):
                mine = folds.has_role(numbers, "test")
                probabilities[mine] = _evaluate(model, {name: _of(mine, *s) for name, s in sequences.items()})
        taus[self.OutputName] = decide(
            probabilities, taus.flat("nTracks"), ensure_track_consistency=self.EnsureTrackConsistency
        )
        if self.DecorateProb:
            for position, mode in enumerate(MODES):
                taus[f"{self.ProbPrefix}{mode}"] = probabilities[:, position]


_Objects: TypeAlias = tuple[npt.NDArray[np.int64], Mapping[str, npt.NDArray[Any]]]
"""One sequence: objects per tau, variables of all objects, tau after tau."""


def _evaluate(model: Model, sequences: Mapping[str, _Objects]) -> npt.NDArray[np.float32]:
    """Return the probabilities of taus with these raw variables, (n_taus, 5), in the order of the modes."""
    inputs = {node.name: _network_input(node.name, node.names, *sequences[node.name]) for node in model.used_sequences}
    output = model.outputs[0]
    order = [output.labels.index(name) for name in CLASSES]
    return model.evaluate(inputs)[output.name][:, order].astype(np.float32)


def _of(taus: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64], raw: Mapping[str, npt.NDArray[Any]]) -> _Objects:
    """Return the sequence of some of the taus."""
    objects = np.repeat(taus, counts)
    return counts[taus], {name: values[objects] for name, values in raw.items()}


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
