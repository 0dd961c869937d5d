"""Decorating any container with the outputs of any model, also of one that hepflow has never seen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt

from hepflow import Events, Property
from hepflow import events as views
from hepflow.errors import NetworkError, PropertyError, nearest
from hepflow.expressions import Expression, qualified
from hepflow.plugins.networks.models import Inputs, ModelTool
from hepflow.registry.models import recipes
from hepflow.variables import Variable

if TYPE_CHECKING:
    from hepflow.networks.graph import InputNode
    from hepflow.networks.onnx_runtime import OnnxNetwork
    from hepflow.protocols import Model

__all__ = ["LwtnnDecorator", "ModelDecorator", "OnnxDecorator"]

_OPERATOR = re.compile(r"[()+*/<>,&|!=?\[\]`\s]|->")


class ModelDecorator(ModelTool):
    """Decorate objects, or events, with the outputs of a model of any format: networks (lwtnn JSON, ONNX, Keras), trees
    (TMVA, XGBoost, LightGBM, MVAUtils).

    Where its variables come from (column or expression, transform) is what the file says of them; ``Variables`` says it
    for a file that does not, or replaces it. With the models of a k-fold training every object gets the model that was
    tested on its fold, and therefore has not seen it.
    """

    selects = False

    Container = Property("TauJets", "container whose objects (or events) are decorated")
    Variables: Property[dict[str, Any]] = Property(
        {},
        "where a variable of the model comes from: variable (or input.variable) → column or expression, or a Variable "
        "with a transform; by default what the file says, else the column of the same name",
        item=object,
    )
    Sequences: Property[dict[str, str]] = Property(
        {}, 'where a sequence comes from: input → link column and container, "tauTrackLinks->TauTracks"', item=str
    )
    SortBy: Property[dict[str, str]] = Property(
        {}, "column by which a sequence is sorted, highest first; by default the order of the links", item=str
    )
    MaxObjects: Property[dict[str, int]] = Property(
        {}, "most objects of a sequence, the first ones; by default all, or as many as the model takes", item=int
    )
    OutputPrefix = Property("", "what stands before the labels of the outputs in the names of the decorations")
    Exponentiate = Property(False, "the outputs are logarithms (log-softmax): decorate their exponentials")

    @property
    def energy_unit(self) -> str:  # type: ignore[override]
        """The energy unit that the model was trained with, where its file says one of a plain column."""
        model = self.models()[0]
        told = [
            v.unit for node in model.used_inputs for _, v in self._variables(model, node) if v.column.isidentifier()
        ]
        return next((unit for unit in told if unit in ("MeV", "GeV")), "")

    def reads(self) -> Sequence[str]:
        """Return the columns of the model's inputs; the model is checked here, before any event."""
        model = self.models()[0]
        self._check(model)
        names: list[str] = []
        for node in model.used_inputs:
            for _, variable in self._variables(model, node):
                expression = self._expression(variable)
                names += [f"{self.Container}.{variable.column}"] if expression is None else expression.columns
        for node in model.used_sequences:
            link, target = self._source(node.name)
            extra = [self.SortBy[node.name]] if node.name in self.SortBy else []
            names += [f"{self.Container}.{link}", *(f"{target}.{v.column}" for _, v in self._variables(model, node))]
            names += [f"{target}.{column}" for column in extra]
        return list(dict.fromkeys([*names, *self.number_reads()]))

    def writes(self) -> Sequence[str]:
        """Return one decoration for each label of each output, of the container or of a sequence's target."""
        return [f"{container}.{name}" for _, _, container, name in self._decorations(self.models()[0])]

    def expressions(self) -> Sequence[Expression]:
        """Return the expressions that inputs are calculated with."""
        model = self.models()[0]
        made = [self._expression(v) for node in model.used_inputs for _, v in self._variables(model, node)]
        return [expression for expression in made if expression is not None]

    def record(self) -> Mapping[str, Any]:
        """Return which models decorated, and what is known of them."""
        return self.decorated(self.writes()) | {"OutputPrefix": self.OutputPrefix}

    def execute(self, events: Events, result: Any) -> None:
        """Evaluate the model for the chunk, decorate."""
        model, objects, linked = self._models[0], events[self.Container], self._linked(events)
        values, _ = self.answers(events, linked)
        owners = {output.name: model.sequence_of(output) for output in model.outputs}
        for output, position, _, name in self._decorations(model):
            column = np.exp(values[output][:, position]) if self.Exponentiate else values[output][:, position]
            column = column.astype(np.float32, copy=False)  # what Athena reads decorations as
            owner = owners[output]
            (objects if owner is None else linked[owner[0]])[name] = column

    def _linked(self, events: Events) -> dict[str, views.Linked]:
        """Return the objects of the sequences."""
        model, objects = self._models[0], events[self.Container]
        linked: dict[str, views.Linked] = {}
        for node in model.used_sequences:
            found = objects.follow(*self._source(node.name))
            if node.name in self.SortBy:
                found = found.sort(found.flat(self.SortBy[node.name]))
            most = self._most(model, node.name)
            linked[node.name] = found if most is None else found.first(most)
        return linked

    def answers(
        self, events: Events, linked: Mapping[str, views.Linked]
    ) -> tuple[Mapping[str, npt.NDArray[Any]], Inputs]:
        """Return the values of each output for the chunk, and the scalar inputs that they are of; ``linked`` are the
        objects of sequences.
        """
        model = self._models[0]
        inputs = {node.name: self._scalars(model, node, events) for node in model.used_inputs}
        sequences = {
            node.name: (
                {name: v(linked[node.name].flat(v.column)) for name, v in self._variables(model, node)},
                linked[node.name].counts,
            )
            for node in model.used_sequences
        }
        return self.evaluate(events, self.Container, inputs, sequences), inputs

    def _most(self, model: Model, sequence: str) -> int | None:
        """Return how many objects of a sequence the model gets at most."""
        return self.MaxObjects.get(sequence)

    def _variables(self, model: Model, node: InputNode) -> Iterator[tuple[str, Variable]]:
        """Yield the variables of an input with what they are made of."""
        told = recipes(model).get(node.name, {})
        for name in node.names:
            given = self.Variables.get(f"{node.name}.{name}", self.Variables.get(name, told.get(name, name)))
            yield name, given if isinstance(given, Variable) else Variable(name, given)

    def _expression(self, variable: Variable) -> Expression | None:
        """Return what a scalar variable is calculated with, None for a column of the container."""
        if not _OPERATOR.search(variable.column) and "." not in variable.column:
            return None
        try:
            return Expression(qualified(variable.column, f"{self.Container}.{{}}".format))
        except PropertyError as error:
            raise NetworkError(
                f"the variable {variable.name!r} comes from {variable.column!r}, which hepflow cannot calculate",
                where=self.WeightFile,
                hint=f"say it in other words: Variables = {{{variable.name!r}: …}}; {error.message}",
            ) from None

    def _scalars(self, model: Model, node: InputNode, events: Events) -> dict[str, Any]:
        made = {}
        for name, variable in self._variables(model, node):
            expression = self._expression(variable)
            if expression is None:
                made[name] = variable(events[self.Container].flat(variable.column))
            else:
                made[name] = variable(expression(events, self.Container))
        return made

    def _source(self, sequence: str) -> tuple[str, str]:
        link, arrow, target = self.Sequences.get(sequence, "").partition("->")
        if not arrow or not link or not target:
            raise NetworkError(
                f"{self.name} does not say where the sequence {sequence!r} comes from",
                where=self.WeightFile,
                hint=f'Sequences = {{{sequence!r}: "linkColumn->Container"}}',
            )
        return link.strip(), target.strip()

    def _decorations(self, model: Model) -> list[tuple[str, int, str, str]]:
        """Return (output, position, container, name of the decoration); a label of several outputs gets the output's
        name too.
        """
        labels = [label for output in model.outputs for label in output.labels]
        found = []
        for output in model.outputs:
            owner = model.sequence_of(output)
            container = self.Container if owner is None else self._source(owner[0])[1]
            for position, label in enumerate(output.labels):
                name = label if labels.count(label) == 1 else f"{output.name}_{label}"
                found.append((output.name, position, container, self.OutputPrefix + name))
        return found

    def _check(self, model: Model) -> None:
        groups = [*model.inputs, *model.input_sequences]
        known = {text for node in groups for name in node.names for text in (name, f"{node.name}.{name}")}
        sequences = [node.name for node in model.input_sequences]
        for what, given, allowed in (
            ("Variables", self.Variables, known),
            ("Sequences", self.Sequences, set(sequences)),
            ("SortBy", self.SortBy, set(sequences)),
            ("MaxObjects", self.MaxObjects, set(sequences)),
        ):
            for name in given:
                if name not in allowed:
                    raise NetworkError(
                        f"{self.name}.{what} names {name!r}, which the model does not have",
                        where=self.WeightFile,
                        hint=nearest(name, allowed, what="inputs"),
                    )
        for output in model.outputs:
            owner = model.sequence_of(output)
            if owner is not None and owner[1]:
                raise NetworkError(
                    f"the output {output.name!r} has fewer rows than {owner[0]!r} has objects: it decorates none",
                    where=self.WeightFile,
                )


class LwtnnDecorator(ModelDecorator):
    """Decorate objects with the outputs of an lwtnn network (graph or sequential JSON)."""

    def open(self, path: str) -> Model:
        """Return the network; NetworkError where the file is of another format."""
        model = super().open(path)
        if model.format != "lwtnn JSON":
            raise NetworkError(f"this file is {model.format}, not lwtnn JSON", where=path, hint="use ModelDecorator")
        return model


class OnnxDecorator(ModelDecorator):
    """Decorate objects with the outputs of any ONNX model, run by ONNX Runtime on one thread.

    For a model that hepflow did not write, ``Inputs`` and ``InputSequences`` say which variables its tensors hold.
    An output of one row an object of a sequence decorates that object. Where a model fixes the number of objects of a
    sequence, the first so many are taken (``SortBy``), and fewer are filled up with zeros, which ``Masks`` tell apart.
    """

    Inputs: Property[dict[str, tuple[str, ...]]] = Property(
        {}, "input tensor → its variables, in order; one row an object that is decorated", item=tuple
    )
    InputSequences: Property[dict[str, tuple[str, ...]]] = Property(
        {}, "input tensor → its variables, in order; one row an object of a sequence", item=tuple
    )
    Labels: Property[dict[str, tuple[str, ...]]] = Property(
        {},
        "output tensor → names of its values, of the outputs that are wanted; by default all that can be",
        item=tuple,
    )
    Axes: Property[dict[str, tuple[str, ...]]] = Property(
        {},
        'input tensor → its axes, in order, of "batch", "objects", "variables", "1", where their sizes do not tell',
        item=tuple,
    )
    Masks: Property[dict[str, str]] = Property(
        {}, "input tensor → the sequence whose objects it marks with 1 (or counts, if it has one axis)", item=str
    )
    Provider = Property("CPUExecutionProvider", "execution provider of ONNX Runtime")

    def open(self, path: str) -> Model:
        """Return the model with its variables named; NetworkError where the file is of another format."""
        from hepflow.networks.onnx_runtime import with_provider

        model = super().open(path)
        if not _is_onnx(model):
            raise NetworkError(f"this file is {model.format}, not ONNX", where=path, hint="use ModelDecorator")
        if self.Provider != model.provider:
            model = with_provider(model, self.Provider)
        if self.Inputs or self.InputSequences or self.Labels or self.Axes or self.Masks:
            return model.declare(self.Inputs, self.InputSequences, self.Labels, axes=self.Axes, masks=self.Masks)
        if model.problem is not None:
            raise model.problem
        return model

    def _most(self, model: Model, sequence: str) -> int | None:
        longest = model.longest(sequence) if _is_onnx(model) else None
        most = self.MaxObjects.get(sequence, longest)
        if most is not None and longest is not None and most > longest:
            raise NetworkError(
                f"{self.name}.MaxObjects keeps {most} objects of {sequence!r}, the model takes {longest}",
                where=self.WeightFile,
            )
        return most

    def _check(self, model: Model) -> None:
        super()._check(model)
        for node in model.input_sequences:
            self._most(model, node.name)
        for first, *others in model.trial.tied if _is_onnx(model) else ():
            for name in others:
                if any(held.get(first) != held.get(name) for held in (self.Sequences, self.SortBy, self.MaxObjects)):
                    raise NetworkError(
                        f"{first!r} and {name!r} are of the same objects, but {self.name} takes them from others",
                        where=self.WeightFile,
                        hint="give both the same Sequences, SortBy and MaxObjects",
                    )


def _is_onnx(model: Model) -> TypeGuard[OnnxNetwork]:
    from hepflow.networks.onnx_runtime import OnnxNetwork

    return isinstance(model, OnnxNetwork)
