"""The executor ``grid``: whole jobs on the grid, one task of PanDA for each dataset of a list."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hepflow import Property
from hepflow.errors import JobOptionsError, OutputError, WorkerError, listed, many
from hepflow.executor import Executor, Order
from hepflow.files import write_text
from hepflow.plugins.batch.base import output_of

__all__ = ["Dataset", "GridExecutor", "read_datasets"]

LONGEST = 132
"""Characters that prun lets ``<output dataset>_<file>/`` have, the container of one of its outputs."""
BUNDLE = 10_000_000
"""Bytes that may travel with a task that builds nothing."""
SMALL = 1_000_000
"""Bytes up to which a file travels without being named."""
REST = "run.tgz"
"""What a job writes beside its streams: figures, tables, provenance."""
SCRIPT = "hepflow-grid.sh"


@dataclass(frozen=True)
class Dataset:
    """A dataset of a list, with the SUBSTREAM that the list names (empty: none)."""

    name: str
    substream: str = ""

    @property
    def short(self) -> str:
        """Return ``<DSID>.<physicsShort>``; JobOptionsError where the name holds none."""
        fields = self.name.rpartition(":")[2].rstrip("/").split(".")
        for number, physics in pairwise(fields):
            if re.fullmatch(r"\d{6,8}", number):
                return f"{number}.{physics}"
        raise JobOptionsError(
            f"the dataset {self.name} has no number of 6 to 8 digits, after which its output could be called",
            hint="names are like mc20_13TeV.425200.Pythia8EvtGen_A14NNPDF23LO_Gammatautau.deriv.DAOD_TAU1.…",
        )


def read_datasets(text: str) -> list[Dataset]:
    """Return the datasets of a list: a file with one a line, ``#`` before comments and ``# SUBSTREAM = name`` at its
    top; or names with commas. JobOptionsError where it is empty, or has something twice.
    """
    path = Path(text).expanduser()
    substream, names = "", []
    if os.path.isfile(path):  # noqa: PTH113 - many names are too long for the name of a file
        for line in path.read_text(encoding="utf-8").splitlines():
            said = re.fullmatch(r"\s*#\s*SUBSTREAM\s*=\s*(\S+)\s*", line)
            substream = said[1] if said else substream
            names += [name] if (name := line.partition("#")[0].strip()) else []
    elif path.suffix == ".txt" or "/" in text.rstrip("/"):
        raise JobOptionsError(f"there is no list of datasets {text}", hint="-g FILE, with a dataset a line")
    else:
        names = [name.strip() for name in text.split(",") if name.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    odd = [name for name in names if re.search(r"[\s*?]", name)]
    for what, wrong in (("twice", twice), ("with blanks or wildcards", odd)):
        if wrong:
            raise JobOptionsError(f"the list has datasets {what}:{listed(wrong)}", where=text)
    if not names:
        raise JobOptionsError("the list names no dataset", where=text)
    return [Dataset(name, substream) for name in names]


class GridExecutor(Executor):
    """Run whole jobs on the grid: one task of PanDA (prun) for each dataset, whose jobs run hepflow on their files.

    Output datasets are called as THOR's: ``user.<nickname>.<StreamName>[_<SUBSTREAM>].<DSID>.<physicsShort>
    _v<RunVersion>_<stream>.root``; ``_run.tgz`` has what is written beside the streams. The job-option file, its data
    files and the modules of yours that it imports travel; hepflow itself comes with ``Container`` or ``Setup``.
    """

    whole_jobs = True

    Datasets = Property("", "file with one dataset per line, or names separated by commas (-g)")
    StreamName = Property("", "name of the production, in those of the outputs (--gridstreamname)")
    RunVersion = Property("", "its version (--gridrunversion)")
    FilesPerJob = Property(0, "input files of a job; 0: as prun does (--nFilesPerJob)", minimum=0)
    Nickname = Property("", "your name on the grid; empty: PANDA_NICKNAME, else RUCIO_ACCOUNT")
    Group = Property("", "group that the outputs belong to (perf-tau), instead of you; needs its production role")
    Container = Property("", "image with hepflow in which jobs run (docker://…)")
    Setup: Property[tuple[str, ...]] = Property((), "shell commands that set up hepflow in each job", item=str)
    Cores = Property(1, "cores of a job", choices=(1, 8))
    Memory = Property(0, "memory of a job per core; 0: the default of the site", unit="MB", minimum=0)
    Directives: Property[tuple[str, ...]] = Property((), "further options of prun", item=str)

    def send(self, order: Order, folder: Path, *, dry: bool) -> list[str]:
        """Send a task for each dataset, from a bundle in ``folder``; return in lines what is, or would be, sent.

        JobOptionsError for what is missing or cannot be; WorkerError where prun is not there or refuses, with what was
        sent before.
        """
        datasets = read_datasets(self.Datasets) if self.Datasets else []
        self._complain(order, datasets)
        outputs = self.output_names(datasets, [*order.outputs, REST])
        files = self.bundle(order)
        commands = [self.command(order, one, outputs[one.name], folder / "bundle", files) for one in datasets]
        sizes = {name: path.stat().st_size if isinstance(path, Path) else len(path) for name, path in files.items()}
        lines = [f"bundle   {many(len(files), 'file')}, {many(sum(sizes.values()), 'byte')}, in {folder / 'bundle'}"]
        lines += [f"         {name}  {number:,}" for name, number in sizes.items()]
        if dry:
            there = f"\ncd {shlex.quote(str((folder / 'bundle').resolve()))}"
            return [*lines, there, *(shlex.join(command) for command in commands)]
        if shutil.which("prun") is None:
            raise WorkerError(
                "the executor grid needs the command prun, which is not on this machine",
                hint="setupATLAS, lsetup panda; or source panda_setup.sh of panda-client. --dry-run shows the commands",
            )
        self.write(files, folder / "bundle")
        return lines + self._submit(datasets, outputs, commands, folder)

    def _submit(
        self, datasets: Sequence[Dataset], outputs: dict[str, str], commands: Sequence[list[str]], folder: Path
    ) -> list[str]:
        lines = []
        for number, (dataset, command) in enumerate(zip(datasets, commands, strict=True)):
            try:
                answer = output_of(command, folder=folder / "bundle")
            except WorkerError as error:
                rest = folder / "datasets-not-sent.txt"
                left = [f"# SUBSTREAM = {dataset.substream}"] if dataset.substream else []
                write_text(rest, "\n".join([*left, *(one.name for one in datasets[number:]), ""]))
                hint = f"sent: {many(number, 'task')}; send the others with -g {rest}"
                raise error.but(where=f"dataset {dataset.name}", hint=hint) from error
            task = re.search(r"jediTaskID=(\d+)", answer)
            lines.append(f"task     {task[1] if task else '?'}: {outputs[dataset.name]}")
        write_text(folder / "tasks.txt", "\n".join([*lines, ""]))
        return lines

    def _complain(self, order: Order, datasets: Sequence[Dataset]) -> None:
        """Raise JobOptionsError with all that is missing."""
        wanted = {
            "which datasets: -g DATASETS.txt": datasets,
            "a name of the production: --gridstreamname": self.StreamName,
            "its version: --gridrunversion": self.RunVersion,
            "your name on the grid: --set grid.Nickname=…": self.Group or self._nickname,
            "where hepflow comes from: --set grid.Container=docker://… or grid.Setup": self.Container or self.Setup,
        }
        missing = [text for text, given in wanted.items() if not given]
        if missing:
            raise JobOptionsError(f"the grid needs:{listed(missing)}", hint="hepflow describe grid shows all")
        for key in ("StreamName", "RunVersion", "Nickname", "Group"):
            if re.search(r"[^\w.-]", getattr(self, key)):
                raise JobOptionsError(
                    f"{key} = {getattr(self, key)!r} cannot be in the name of a dataset",
                    hint="letters, digits, '_', '-' and '.'",
                )

    @property
    def _nickname(self) -> str:
        return self.Nickname or os.environ.get("PANDA_NICKNAME", "") or os.environ.get("RUCIO_ACCOUNT", "")

    def output_names(self, datasets: Sequence[Dataset], outputs: Sequence[str] = (REST,)) -> dict[str, str]:
        """Return the output dataset of each dataset, as THOR calls it; JobOptionsError where one is too long, or two
        are the same.
        """
        owner = f"group.{self.Group}" if self.Group else f"user.{self._nickname}"
        names: dict[str, str] = {}
        for dataset in datasets:
            stream = self.StreamName + (f"_{dataset.substream}" if dataset.substream else "")
            name = f"{owner}.{stream}.{dataset.short}_v{self.RunVersion}"
            container = max((f"{name}_{output}/" for output in outputs), key=len)
            if len(container) > LONGEST:
                raise JobOptionsError(
                    f"the output {container} has {len(container)} characters, PanDA takes {LONGEST}",
                    where=f"dataset {dataset.name}",
                    hint=f"make --gridstreamname or --gridrunversion shorter by {len(container) - LONGEST}",
                )
            if name in names.values():
                other = next(key for key, value in names.items() if value == name)
                raise JobOptionsError(
                    f"two datasets have the output {name}:{listed([other, dataset.name])}",
                    hint="put one into another list, with a SUBSTREAM of its own",
                )
            names[dataset.name] = name
        return names

    def bundle(self, order: Order) -> dict[str, Path | str]:
        """Return what travels, by name: a file, or the text of the script. JobOptionsError where that cannot be."""
        files: dict[str, Path | str] = {SCRIPT: self.script(order), order.path.name: order.path}
        for name, path in order.files.items():
            if files.setdefault(name, path) != path:
                raise JobOptionsError(f"two files of the job are called {name}: {files[name]}, {path}",
                                      hint="they travel into one folder: rename one")  # fmt: skip
        total = sum(path.stat().st_size for path in files.values() if isinstance(path, Path))
        hidden = [name for name in files if any(part.startswith(".") for part in Path(name).parts)]
        if hidden:
            raise JobOptionsError(f"prun leaves out what begins with a dot: {', '.join(hidden)}", hint="rename it")
        if total > BUNDLE:
            big = max((path for path in files.values() if isinstance(path, Path)), key=lambda path: path.stat().st_size)
            raise JobOptionsError(
                f"{total:,} bytes would travel with each task, PanDA takes {BUNDLE:,}",
                where=str(big),
                hint="put large files into the container, or where the nodes see them",
            )
        return files

    def script(self, order: Order) -> str:
        """Return what a job of the grid does with the files that it is given."""
        run = ["hepflow", "run", *order.options, *(w for name in order.merged for w in ("--set", f"{name}.Merge=true"))]
        moves = [f"mv hepflow-run/{shlex.quote(name)} ." for name in order.outputs]
        return "\n".join(
            [
                "#!/bin/bash",
                "set -e",
                *self.Setup,
                'export HEPFLOW_DATA_PATH="$PWD" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"',
                'IFS=, read -ra names <<< "$1"',
                'inputs=(); for name in "${names[@]}"; do inputs+=(-i "$name"); done',
                f'{shlex.join(run)} "${{inputs[@]}}" -o hepflow-run -j "${{ATHENA_CORE_NUMBER:-1}}" '
                + shlex.join([order.path.name, *order.words]),
                *moves,
                f"tar czf {REST} --exclude=.hepflow -C hepflow-run .",
                "",
            ]
        )

    def write(self, files: dict[str, Path | str], folder: Path) -> None:
        """Write the bundle."""
        if folder.exists():
            raise OutputError(f"the folder {folder} exists already", hint="give another one with -o")
        for name, content in files.items():
            target = folder / name
            if isinstance(content, str):
                write_text(target, content)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(content, target)

    def command(
        self, order: Order, dataset: Dataset, output: str, folder: Path, files: dict[str, Path | str]
    ) -> list[str]:
        """Return the prun of one dataset."""
        named = [
            name
            for name, path in files.items()
            if isinstance(path, Path) and (path.suffix == ".root" or path.stat().st_size > SMALL)
        ]
        options = {
            "inDS": dataset.name,
            "outDS": output,
            "outputs": ",".join([*order.outputs, REST]),
            "exec": f"bash {SCRIPT} %IN",
            "workDir": str(folder.resolve()),
            "extFile": ",".join(named),
            "containerImage": self.Container,
            "nFilesPerJob": str(self.FilesPerJob or ""),
            "maxNFilesPerJob": str(self.FilesPerJob) if self.FilesPerJob > 200 else "",
            "nCore": str(self.Cores) if self.Cores > 1 else "",
            "memory": str(self.Memory or ""),
            "voms": f"atlas:/atlas/{self.Group}/Role=production" if self.Group else "",
        }
        words = [word for name, value in options.items() if value for word in (f"--{name}", value)]
        return ["prun", *words, *(["--official"] if self.Group else []), "--noBuild", *self.Directives]
