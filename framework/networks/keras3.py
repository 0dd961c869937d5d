"""Live Keras 3 models, on any backend, and opening ``.keras`` files as live models."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hepflow.errors import NetworkError
from hepflow.networks.graph import Network
from hepflow.networks.keras_files import network_of
from hepflow.networks.keras_import import import_keras

__all__ = ["from_keras", "open_keras"]


def open_keras(path: str | Path, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Open a ``.keras`` file as a live model, in safe mode: no code from the file is run, and only registered layers
    are made.

    ``custom_objects`` maps names to further layer classes. Raises NetworkError where the file is damaged or wants
    unknown classes.
    """
    if not Path(path).is_file():
        raise NetworkError("there is no such file", where=str(path))
    keras = import_keras()
    try:
        with _quiet():
            return keras.saving.load_model(path, custom_objects=custom_objects, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the damage leads to
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise NetworkError(
            f"the Keras file cannot be opened: {first[0][:300]}",
            where=str(path),
            hint="import the module that registers its own layers first; Lambda layers are never opened",
        ) from error


def from_keras(
    model: Any, variables: Mapping[str, Any] | None = None, record: Mapping[str, Any] | None = None
) -> Network:
    """Make a network of a live Keras 3 model, functional or sequential.

    ``variables`` is the content of a variables file: ``{"inputs": [{"name", "variables": [{"name", "offset",
    "scale"}]}], "input_sequences": […], "outputs": [{"name", "labels"}]}``; without it variables and labels are
    numbered. ``record`` is kept with the network. Masking, Dropout and Flatten are skipped, BatchNormalization
    becomes an affine layer, a layer of a class called Sum that is seen to sum over objects is taken at its word.
    Raises NetworkError, naming the layer, for what lwtnn cannot express.
    """
    keras = import_keras()
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise NetworkError(
            f"the Keras model {getattr(model, 'name', model)!r} has no graph",
            hint="use a functional or sequential model and call it once before converting",
        )
    sums = _check(keras, model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        weights = Path(folder) / "model.weights.h5"
        try:
            config = keras.saving.serialize_keras_object(model)
            model.save_weights(weights)
        except Exception as error:  # whatever a layer's own description raises
            raise NetworkError(f"the Keras model cannot be described: {str(error)[:300]}") from error
        spec = None if variables is None else dict(variables)
        return network_of(_plain(config), str(keras.__version__), weights, spec, dict(record or {}), frozenset(sums))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what Keras 3.15 says of itself: it reads and writes with a spelling that numpy 2 deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _plain(value: Any) -> Any:
    """Return a description as it would be read from a file: lists for tuples."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _check(keras: Any, model: Any) -> list[str]:
    """Refuse layers that do something else than their description says; returns the names of layers that sum."""
    base = keras.Sequential if isinstance(model, keras.Sequential) else type(keras.Model(model.inputs, model.outputs))
    if type(model) is not base:
        raise NetworkError(
            f"the Keras model {model.name!r} is of a class of its own, {type(model).__name__}",
            hint="convert keras.Model(model.inputs, model.outputs) if its call is Keras' own",
        )
    sums = []
    for layer in model.layers:
        for one in _with_inner(layer):
            if name := _replaced(keras, one):
                raise _refuse(one, f"its {name} is not the one that Keras gives it")
        if type(layer).__name__ == "Sum" and not _of(keras.layers, layer):
            if not _sums(keras, layer):
                raise _refuse(layer, "it gives something else than a sum over real objects")
            sums.append(layer.name)
    return sums


def _with_inner(layer: Any) -> Iterator[Any]:
    """Yield a layer and the one inside: of TimeDistributed, and the cell of a recurrent layer."""
    yield layer
    for name in ("layer", "cell"):
        if hasattr(getattr(layer, name, None), "get_config"):
            yield from _with_inner(getattr(layer, name))


def _of(module: Any, layer: Any) -> bool:
    return getattr(module, type(layer).__name__, None) is type(layer)


def _replaced(keras: Any, layer: Any) -> str:
    """Return the method or activation of a layer that its description does not show: replaced on this one layer, or
    of the name of one of Keras' own. Empty where there is none.
    """
    for name in ("call", "__call__"):
        if name in vars(layer):
            return name
    for name in ("activation", "recurrent_activation"):
        function = getattr(layer, name, None)
        known = getattr(keras.activations, getattr(function, "__name__", ""), None)
        if known is not None and known is not function:
            return name
    return ""


def _sums(keras: Any, layer: Any) -> bool:
    """Try whether a layer sums over real objects."""
    real = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]], bool)
    try:
        features = keras.tree.flatten(layer.input)[0].shape[2:]
        values = np.random.default_rng(0).normal(size=(3, 4, *features)).astype(np.float32)
        found = [keras.ops.convert_to_numpy(layer(values))]
        if layer.supports_masking:
            found.append(keras.ops.convert_to_numpy(layer(values, mask=keras.ops.convert_to_tensor(real))))
    except Exception:  # whatever its code raises
        return False
    wanted = [values.sum(axis=1), (values * real[..., None]).sum(axis=1)]
    return all(np.shape(a) == b.shape and np.allclose(a, b, atol=1e-5) for a, b in zip(found, wanted, strict=False))


def _refuse(layer: Any, why: str) -> NetworkError:
    return NetworkError(
        f"lwtnn cannot express the Keras layer {layer.name!r} ({type(layer).__name__}): {why}",
        hint="use Keras' layers and activations as they are",
    )
