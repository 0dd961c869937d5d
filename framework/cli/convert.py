"""``hepflow convert``."""

from __future__ import annotations

import click

from hepflow.cli.console import common_options, console
from hepflow.registry.manager import registry

__all__ = ["convert_command"]


@click.command("convert")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option(
    "-o", "--output", "target", required=True, metavar="TARGET", help="File to write: .json (lwtnn) or .onnx."
)
@common_options
def convert_command(sources: tuple[str, ...], target: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Convert a network to lwtnn JSON or ONNX, by the target's ending.

    SOURCE is an lwtnn JSON file, a .keras file (a variables file may follow), or three files of Keras 2:
    architecture.json weights.h5 variables.json.
    """
    from hepflow.networks import convert

    if any(source.endswith(".keras") for source in sources):
        from hepflow.networks.keras_import import import_keras

        import_keras()
        for named in registry(plugins).names("layers").values():
            named.load()  # which registers the layer with Keras
    network = convert(sources, target)
    inputs = ", ".join(group.name for group in (*network.inputs, *network.input_sequences))
    outputs = ", ".join(output.name for output in network.outputs)
    console().print(f"{target}: {network.n_parameters:,} parameters, inputs {inputs}, outputs {outputs}")
