"""Running jobs from a job: steps that are joined by files, with one command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hepflow import Context, Job, Property, Tool
from hepflow.errors import HepflowError
from hepflow.execution.inputs import expand, formats
from hepflow.execution.options import RunOptions
from hepflow.execution.run import run
from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.registry.manager import registry

__all__ = ["RunJob"]

RUN = "{run}"


class RunJob(Tool):
    """Run a job, as ``hepflow run`` does, into a folder of the run directory with the name of the tool.

    Several of them are steps, one after the other: outputs of a step are ``{run}/FOLDER/FILE`` in ``Inputs`` and
    ``Options`` of the next. ``--resume`` keeps finished steps and continues with the next. Its result is the folder.

    Before the first step begins, all are checked: job options and settings, with default values for options that name
    outputs of another step, and inputs that no step writes.
    """

    JobOptions = Property("", "job-option file, or name of one that ships")
    Inputs: Property[tuple[str, ...]] = Property((), "its inputs; empty: its default sample", item=str)
    Options: Property[dict[str, str]] = Property({}, "its options: name → value, as on the command line", item=str)
    Settings: Property[tuple[str, ...]] = Property((), "its --set: TOOL.Property=value", item=str)
    Events = Property(0, "most events; 0: all", minimum=0)

    def check(self, job: Job) -> None:
        """Refuse job options, settings and inputs that are not there."""
        options = {name: text for name, text in self.Options.items() if RUN not in text}
        plugins = registry()
        schemes = [reader.scheme for reader in formats(plugins) if reader.scheme]
        try:
            load_joboptions(find_joboptions(self.JobOptions), options, settings=self.Settings)
            expand([text for text in self.Inputs if RUN not in text], plugins, schemes, lambda name: ())
        except HepflowError as error:
            where = f"step {self.name} of {job.name}" + (f": {error.where}" if error.where else "")
            raise error.but(where=where) from error

    def finalize(self, total: object, context: Context) -> str:
        """Run the job; what it raises is raised here."""
        folder = context.path(self.name)

        def filled(texts: Sequence[str]) -> list[str]:
            return [text.replace(RUN, str(context.directory)) for text in texts]

        options = dict(zip(self.Options, filled(list(self.Options.values())), strict=True))
        inputs = filled(self.Inputs)
        words = [self.JobOptions, *(f"--{name}={value}" for name, value in options.items())]
        words += [word for text in inputs for word in ("-i", text)]
        context.log.info("%s: hepflow run %s", self.name, shlex.join(words))
        file = load_joboptions(find_joboptions(self.JobOptions), options, settings=self.Settings)
        resume = folder.is_dir()
        how = RunOptions(inputs, str(folder), events=self.Events or None, workers=context.workers, resume=resume)
        run(file, how)
        return str(folder)
