"""``hepflow convert``."""

from __future__ import annotations

import click

from hepflow.cli.console import common_options, console

__all__ = ["convert_command"]


@click.command("convert")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option("-o", "--output", "target", required=True, metavar="TARGET", help="File to write, by its ending.")
@common_options
def convert_command(sources: tuple[str, ...], target: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Convert a model to another format, by the target's ending: networks to lwtnn JSON (.json) or ONNX (.onnx),
    forests of TMVA, XGBoost and LightGBM to Athena's MVAUtils (.root) or ONNX, those of TMVA to XGBoost JSON (.json).

    SOURCE is a model file, or two files of Keras: architecture.json weights.h5. A variables file may follow those of
    Keras: variables.json.
    """
    from hepflow.networks.converting import read_sources
    from hepflow.registry.manager import registry
    from hepflow.registry.models import open_model, write_model

    registry(plugins)
    model = open_model(sources[0]) if len(sources) == 1 else read_sources(sources)
    notes = write_model(model, target)
    inputs = ", ".join(group.name for group in (*model.inputs, *model.input_sequences))
    outputs = ", ".join(output.name for output in model.outputs)
    out = console()
    out.print(f"{target}: {model.n_parameters:,} parameters, inputs {inputs}, outputs {outputs}", markup=False)
    for note in notes:
        out.print(note, markup=False)
    if model.origin.startswith("Keras") and not any(source.endswith(".json") for source in sources[1:]):
        out.print(
            "no variables file: the inputs are called variable_0, variable_1, … with offset 0 and scale 1, the outputs "
            "out_0, out_1, …"
        )
