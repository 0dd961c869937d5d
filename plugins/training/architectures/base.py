"""What every network architecture has: what it is built from, the keys of its file, and the checks of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hepflow.errors import NetworkError, nearest

__all__ = [
    "BARE",
    "COUNTS",
    "RAGGED",
    "TRAINING",
    "Architecture",
    "Key",
    "NetworkInput",
    "Opened",
    "mask_name",
    "open_inputs",
    "switch",
]

TRAINING, BARE, COUNTS, RAGGED = "training", "bare", "counts", "ragged"
"""Forms of a network, with the same weights in the same order. training: sequences padded to their caps, with masks.
bare: as lwtnn sees it, without scaling and masks. counts: as ONNX has it, sequences of any length, with the numbers of
objects in the place of masks. ragged: the objects of all rows one after the other, with the row of each; nothing is
calculated for objects that are not there."""


@dataclass(frozen=True)
class NetworkInput:
    """One input of a network: its variables, after their transform, with the offset and scale of each.

    ``cap`` is the largest number of objects of a sequence; None is an input with one value a row.
    """

    name: str
    variables: tuple[str, ...]
    cap: int | None
    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class Key:
    """One key of an architecture file: a whole number, or with ``fraction`` a number from 0 to below 1.

    ``per_input``: a mapping with a value for each input, or one value for all. ``many``: a list. ``default``: the value
    where the key is absent; without one the key is needed. ``minimum`` is that of whole numbers, ``choices`` are the
    texts that are accepted instead of numbers. ``number``: any number from 0; ``positive``: one above 0, at most 1.
    """

    default: Any = None
    per_input: bool = False
    many: bool = False
    fraction: bool = False
    minimum: int = 1
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    number: bool = False
    positive: bool = False

    @property
    def wanted(self) -> str:
        """What a value of one input must be, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.number or self.positive:
            return "a number above 0, at most 1" if self.positive else "a number from 0"
        if self.fraction:
            return "a number from 0 to below 1"
        return f"a whole number from {self.minimum}" + ("" if self.maximum is None else f" to {self.maximum}")

    @property
    def told(self) -> str:
        """What the whole value must be, in words."""
        text = f"a list, each {self.wanted}" if self.many else self.wanted
        return f"{text}; also one for each input, by name" if self.per_input else text

    def check(self, name: str, value: Any, where: str) -> Any:
        """Return the value of one input; raises NetworkError where it is not what is wanted."""
        if self.choices:
            good = value in self.choices
        elif self.number or self.positive:
            good = isinstance(value, int | float) and not isinstance(value, bool)
            good = good and (0 < value <= 1 if self.positive else 0 <= value < float("inf"))
        elif self.fraction:
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
        else:
            good = isinstance(value, int) and self.minimum <= value <= (value if self.maximum is None else self.maximum)
        if not good:
            raise NetworkError(f"{name} is {value!r}, it must be {self.wanted}", where=where)
        return value


def switch(default: int) -> Key:
    """Return a key that is 0 or 1."""
    return Key(default, minimum=0, maximum=1)


class Architecture:
    """A way to build networks. A plugin brings one through the hook ``hepflow_architectures``: name → import string.

    ``KEYS`` are the keys of its YAML file, ``WITHOUT_EFFECT`` those that are accepted and change nothing. ``FACTS`` are
    keys that repeat what the data set has (number of variables, cap, number of classes): they are only compared.
    ``NO_LWTNN`` is the reason why lwtnn cannot express such networks, empty where it can. ``LIBRARY`` is the engine
    whose networks it builds: ``keras``, ``torch``. ``RAGGED`` tells that it builds the ragged form too, in which it is
    then trained on a processor.
    """

    KEYS: ClassVar[Mapping[str, Key]] = {}
    WITHOUT_EFFECT: ClassVar[tuple[str, ...]] = ()
    FACTS: ClassVar[tuple[str, ...]] = ("n_features", "n_steps", "n_classes")
    NO_LWTNN: ClassVar[str] = ""
    LIBRARY: ClassVar[str] = "keras"
    RAGGED: ClassVar[bool] = False

    def defaults(self, inputs: Sequence[NetworkInput]) -> dict[str, Any]:
        """Return values for the needed keys, used where no file gives the architecture."""
        return {}

    def loss(self, config: Mapping[str, Any]) -> str:
        """Return the name of the loss: of a classifier, unless the architecture says otherwise."""
        return "categorical_crossentropy"

    def check(self, config: Mapping[str, Any], inputs: Sequence[NetworkInput], where: str) -> None:
        """Raise NetworkError where values that are fine by themselves do not go together, or not with the inputs."""

    def build(
        self, inputs: Sequence[NetworkInput], classes: Sequence[str], config: Mapping[str, Any], form: str = TRAINING
    ) -> Any:
        """Return the functional Keras model, not compiled, with one output (or the torch.nn.Module); ``config`` is what
        ``resolve`` returned.

        Its inputs are those of ``open_inputs``; all forms have the same weights in the same order.
        """
        raise TypeError(f"{type(self).__name__} does not say how its networks are built")

    def resolve(
        self,
        given: Mapping[str, Any] | None,
        inputs: Sequence[NetworkInput],
        classes: Sequence[str],
        where: str = "",
    ) -> dict[str, Any]:
        """Return all keys with checked values, those of inputs as mappings by input.

        ``given`` is the content of a file under the architecture's name, None where there is no file. Raises
        NetworkError for an unknown or missing key, a value of the wrong kind, and for facts that differ from the data.
        """
        given = self.defaults(inputs) if given is None else given
        for given_key in given:
            if given_key not in (*self.KEYS, *self.WITHOUT_EFFECT, *self.FACTS):
                known = [*self.KEYS, *self.FACTS]
                raise NetworkError(
                    f"there is no key {given_key!r}", where=where, hint=nearest(str(given_key), known, what="keys")
                )
        self._compare(given, inputs, classes, where)
        config = {}
        for name, key in self.KEYS.items():
            if name not in given and key.default is None:
                raise NetworkError(f"the key {name!r} is missing", where=where)
            value = given.get(name, key.default)
            config[name] = _spread(name, key, value, inputs, where) if key.per_input else _one(name, key, value, where)
        self.check(config, inputs, where)
        return config

    def _compare(
        self, given: Mapping[str, Any], inputs: Sequence[NetworkInput], classes: Sequence[str], where: str
    ) -> None:
        """Compare what the file says of the data with the data."""
        facts = {
            "n_features": {i.name: len(i.variables) for i in inputs},
            "n_steps": {i.name: i.cap for i in inputs if i.cap is not None},
            "n_classes": len(classes),
        }
        for name, found in facts.items():
            said = given.get(name, found)
            if said == found:
                continue
            hint = "the data set was made with other variables than the network expects"
            if isinstance(said, Mapping) and isinstance(found, Mapping):
                differ = sorted(set(said) ^ set(found)) or [key for key in found if said[key] != found[key]]
                one = differ[0]
                raise NetworkError(
                    f"{name} of {one!r} is {said.get(one, 'absent')} in the architecture, {found.get(one, 'absent')} "
                    "in the data set",
                    where=where,
                    hint=hint,
                )
            raise NetworkError(f"{name} is {said!r} in the architecture, {found!r} in the data set", where=where)


def _one(name: str, key: Key, value: Any, where: str) -> Any:
    if not key.many:
        return key.check(name, value, where)
    values = value if isinstance(value, list | tuple) else [value]
    return [key.check(name, v, where) for v in values]


def _spread(name: str, key: Key, value: Any, inputs: Sequence[NetworkInput], where: str) -> dict[str, Any]:
    """Return a value for each input."""
    names = [i.name for i in inputs]
    if not isinstance(value, Mapping):
        return {i: _one(f"{name} of {i}", key, value, where) for i in names}
    for given in value:
        if given not in names:
            raise NetworkError(
                f"{name} has a value for {given!r}, which is no input of the data set",
                where=where,
                hint=nearest(str(given), names, what="inputs"),
            )
    missing = [i for i in names if i not in value]
    if missing:
        raise NetworkError(f"{name} has no value for {missing[0]!r}", where=where)
    return {i: _one(f"{name} of {i}", key, value[i], where) for i in names}


def check_flat(what: str, inputs: Sequence[NetworkInput], where: str = "") -> None:
    """Raise NetworkError for an input that is a sequence."""
    for one in inputs:
        if one.cap is not None:
            raise NetworkError(
                f"{what} takes flat inputs, {one.name!r} is a sequence",
                where=where,
                hint="use DSNN, LSTM or SetTransformer, or leave it out",
            )


def mask_name(name: str) -> str:
    """Return the name of the Keras input that tells which objects of a sequence are real."""
    return f"{name}_mask"


@dataclass(frozen=True)
class Opened:
    """The inputs of a Keras model: its input tensors by name, and of each input its scaled features and mask.

    In the ragged form rows of objects, and counts, stand in the place of a mask.
    """

    tensors: dict[str, Any]
    features: dict[str, Any]
    masks: dict[str, Any]


def open_inputs(inputs: Sequence[NetworkInput], form: str = TRAINING) -> Opened:
    """Make the Keras inputs: for a sequence (objects, variables) float32 and which objects are real, else (variables).

    Values go in after their transform, unscaled (in the bare form scaled); what stands in objects that are not real
    does not matter. Beside a sequence stands ``<name>_mask`` (cap) bool, or in the form of counts ``<name>_counts``; in
    the ragged form, of (variables), the row of each object in ``<name>_rows`` and ``<name>_counts`` of each row.
    """
    import keras

    from hepflow.plugins.training.layers import Real, Scaling

    opened = Opened({}, {}, {})
    for one in inputs:
        objects = () if one.cap is None or form == RAGGED else (one.cap if form == TRAINING else None,)
        x = opened.tensors[one.name] = keras.Input((*objects, len(one.variables)), name=one.name, dtype="float32")
        mask: Any = None
        if one.cap is not None and form == TRAINING:
            mask = opened.tensors[mask_name(one.name)] = keras.Input(objects, name=mask_name(one.name), dtype="bool")
        elif one.cap is not None and form == COUNTS:
            counts = keras.Input((), name=f"{one.name}_counts", dtype="int64")
            opened.tensors[f"{one.name}_counts"] = counts
            mask = Real(name=f"{one.name}_real")(x, counts)
        elif one.cap is not None and form == RAGGED:
            names = (f"{one.name}_rows", f"{one.name}_counts")
            mask = tuple(keras.Input((), name=name, dtype="int32") for name in names)
            opened.tensors.update(zip(names, mask, strict=True))
        opened.masks[one.name] = mask
        scaled = x if form == BARE else Scaling(one.offset, one.scale, name=f"{one.name}_scaling")(x)
        opened.features[one.name] = scaled
    return opened
