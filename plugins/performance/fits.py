"""Histograms for fits: one ROOT file of nominal and varied ones, and a pyhf workspace for each variable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hepflow import Context, Property
from hepflow.errors import JobOptionsError, nearest
from hepflow.files import replacing, write_text
from hepflow.plugins.performance.base import Plots, file_name
from hepflow.plugins.performance.histograms import HistogramPlots

if TYPE_CHECKING:
    from hepflow import Job
    from hepflow.plots import Histogram

__all__ = ["FitHistograms"]


class FitHistograms(HistogramPlots):
    """Plot histograms, as HistogramPlots does, and write them for fits: ``histograms.root`` and a pyhf workspace
    ``VARIABLE_pyhf.json`` for each variable (for each class of ``Split``: ``VARIABLE_CLASS``), a channel each.

    The ROOT file has ``SAMPLE_VARIABLE`` and ``SAMPLE_VARIABLE__NAME_UP``/``_DOWN`` for each variation, as TRExFitter
    reads them, and the same ones as ``VARIABLE/SAMPLE`` and ``VARIABLE/SAMPLE_NAMEUp``/``Down`` with
    ``VARIABLE/data_obs``, as Combine does: ``shapes * * histograms.root $CHANNEL/$PROCESS
    $CHANNEL/$PROCESS_$SYSTEMATIC``. Where an effect has one variation only, pyhf and Combine get its mirror image
    besides. A workspace has statistical errors (staterror) and effects (histosys); the strength ``mu`` multiplies
    ``Signal``. Without ``Data`` the observation is the sum of all samples.
    """

    Signal: Property[tuple[str, ...]] = Property((), "samples that the signal strength mu multiplies", item=str)
    Data: Property[tuple[str, ...]] = Property((), "samples that are data", item=str)

    def check(self, job: Job) -> None:
        """Raise JobOptionsError where the settings make no histograms for fits."""
        super().check(job)
        where = f"tool {self.name}"
        if self.Together or self.Pairs:
            name = "Together" if self.Together else "Pairs"
            raise JobOptionsError(f"fits need one-dimensional histograms of each sample: no {name}", where=where)
        for sample, settings in job.samples.items():
            if settings.data and sample not in self.Data:
                raise JobOptionsError(f"the sample {sample} is data and not in Data", where=where, hint="put it there")

    def finalize(self, total: dict[str, Plots], context: Context) -> dict[str, Plots]:
        """Draw, and write the files; JobOptionsError where Signal or Data name samples that there are not."""
        samples = super().finalize(total, context)
        if context.variation:
            return samples
        for name in (*self.Signal, *self.Data):
            if name not in samples:
                hint = nearest(name, samples, what="samples")
                raise JobOptionsError(f"there is no sample {name!r}", where=f"tool {self.name}", hint=hint)
        varied = {name: {**samples, **of} for name, of in context.varied.items()}
        channels = [self._channel(key, samples, varied) for key, *_ in self._plots()]
        folder = self.Folder or self.name
        _write_root(context.path(f"{folder}/histograms.root"), channels)
        for channel in channels:
            path = context.path(f"{folder}/{channel.name}_pyhf.json")
            write_text(path, json.dumps(channel.workspace(self.Signal), indent=1, allow_nan=False) + "\n")
        alone = [effect for effect, (up, down) in channels[0].effects.items() if not (up and down)]
        if alone:
            context.log.info(
                "%s: of one variation each, mirrored for pyhf and Combine: %s", self.name, ", ".join(alone)
            )
        return samples

    def _channel(self, key: str, samples: Mapping[str, Plots], varied: Mapping[str, Mapping[str, Plots]]) -> _Channel:
        nominal = {name: cast("Histogram", plots[key]) for name, plots in samples.items()}
        data = [plot for name, plot in nominal.items() if name in self.Data]
        simulated = {name: plot for name, plot in nominal.items() if name not in self.Data}
        others = {v: {name: cast("Histogram", of[name][key]) for name in simulated} for v, of in varied.items()}
        return _Channel(file_name(key), simulated, others, data)


class _Channel:
    """The histograms of a variable: those of samples, nominal and by variation, and those of data."""

    def __init__(
        self,
        name: str,
        nominal: Mapping[str, Histogram],
        varied: Mapping[str, Mapping[str, Histogram]],
        data: Sequence[Histogram],
    ) -> None:
        from hepflow.plots.bands import effects, is_down

        self.name = name
        self.nominal = nominal
        self.varied = varied
        self.data = data
        self.effects: dict[str, tuple[str, str]] = {}
        """Effect → its variations up and down, empty where there is none."""
        for effect, names in effects([*varied]).items():
            down = next((one for one in names if is_down(one)), "")
            self.effects[effect] = (next((one for one in names if one != down), ""), down)

    def ends(self, sample: str, effect: str) -> tuple[Any, Any]:
        """Return the histograms of a sample up and down in an effect; one that is missing mirrors the other."""
        nominal = self.nominal[sample].to_hist()
        up, down = (self.varied[name][sample].to_hist() if name else None for name in self.effects[effect])
        return up or _mirrored(nominal, down), down or _mirrored(nominal, up)

    def histograms(self) -> Iterator[tuple[str, Any]]:
        """Yield names and histograms, as they stand in the ROOT file."""
        for sample, plot in self.nominal.items():
            yield f"{sample}_{self.name}", plot.to_hist()
            yield f"{self.name}/{sample}", plot.to_hist()
            for variation, of in self.varied.items():
                yield f"{sample}_{self.name}__{variation}", of[sample].to_hist()
            for effect in self.effects:
                up, down = self.ends(sample, effect)
                yield f"{self.name}/{sample}_{effect}Up", up
                yield f"{self.name}/{sample}_{effect}Down", down
        if self.data:
            observed = sum(plot.to_hist() for plot in self.data)
            yield f"data_{self.name}", observed
            yield f"{self.name}/data_obs", observed

    def workspace(self, signal: Sequence[str]) -> dict[str, Any]:
        """Return a workspace of pyhf (HistFactory's JSON, version 1.0.0); under- and overflow are left out."""
        samples = []
        for sample, plot in self.nominal.items():
            error = {"name": f"staterror_{self.name}", "type": "staterror", "data": plot.errors.tolist()}
            modifiers: list[dict[str, Any]] = [error]
            for effect in self.effects:
                up, down = (found.values().tolist() for found in self.ends(sample, effect))
                modifiers.append({"name": effect, "type": "histosys", "data": {"hi_data": up, "lo_data": down}})
            if sample in signal:
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            samples.append({"name": sample, "data": plot.values().tolist(), "modifiers": modifiers})
        seen = self.data or [*self.nominal.values()]
        observed = np.sum([plot.values() for plot in seen], axis=0).tolist()
        return {
            "channels": [{"name": self.name, "samples": samples}],
            "observations": [{"name": self.name, "data": observed}],
            "measurements": [{"name": self.name, "config": {"poi": "mu" if signal else "", "parameters": []}}],
            "version": "1.0.0",
        }


def _mirrored(nominal: Any, other: Any) -> Any:
    """Return the histogram as far from the nominal as another one, on the other side."""
    made = other.copy()
    made.view(flow=True)["value"] = 2 * nominal.view(flow=True)["value"] - other.view(flow=True)["value"]
    return made


def _write_root(path: Path, channels: Sequence[_Channel]) -> None:
    import uproot

    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        for name, histogram in (item for channel in channels for item in channel.histograms()):
            file[name] = histogram
