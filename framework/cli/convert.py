"""``hepflow convert``."""

from __future__ import annotations

import click

from hepflow.cli.console import common_options, console

__all__ = ["convert_command"]


@click.command("convert")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option(
    "-o", "--output", "target", required=True, metavar="TARGET", help="File to write: .json (lwtnn) or .onnx."
)
@common_options
def convert_command(sources: tuple[str, ...], target: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Convert a network to lwtnn JSON or ONNX, by the target's ending.

    SOURCE is an lwtnn JSON file, a Keras model (.keras or .h5), or two files of one: architecture.json weights.h5. A
    variables file may follow those of Keras: variables.json.
    """
    from hepflow.networks import convert

    network = convert(sources, target)
    inputs = ", ".join(group.name for group in (*network.inputs, *network.input_sequences))
    outputs = ", ".join(output.name for output in network.outputs)
    out = console()
    out.print(f"{target}: {network.n_parameters:,} parameters, inputs {inputs}, outputs {outputs}", markup=False)
    if not network.origin.startswith("Keras"):
        return
    facts = network.record["keras"]
    if folded := facts.get("folded", ()):
        out.print(f"batch normalisation is folded into scale and offset: {', '.join(folded)}", markup=False)
    if facts["parameters"] != network.n_parameters:
        out.print(f"in Keras the same network has {facts['parameters']:,} parameters")
    if not any(source.endswith(".json") for source in sources[1:]):
        out.print(
            "no variables file: the inputs are called variable_0, variable_1, … with offset 0 and scale 1, the outputs "
            "out_0, out_1, …"
        )
