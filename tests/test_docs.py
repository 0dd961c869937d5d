"""The commands and programs of README and docs, run as a reader would: each page in a folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pytest

from tests.conftest import CHAIN

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(bash|python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")
NEEDED = {"hh": ("torch", "xgboost"), "ntuple": ("xgboost",)}
"""Packages, of optional parts, that a page needs."""
SETUP = ("source setup.sh", "pip install")
TOGETHER = """
import shlex, sys
from hepflow.cli import main
for line in sys.argv[1:]:
    sys.argv = shlex.split(line)
    try:
        main(sys.argv[1:])
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{line}: exit status {stop.code}")
    print(end="\\0", flush=True)
"""
"""Commands in one process, which imports TensorFlow and the rest once; the output of each ends with NUL."""


def _blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def _commands(text: str) -> list[str]:
    """Return the lines to run; what installs is tested elsewhere."""
    lines = [line.partition("  #")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(SETUP) and "setup.sh" not in line]


def _steps(page: Path) -> Iterator[tuple[str, str]]:
    for kind, text in _blocks(page):
        if kind == "bash":
            yield from (("bash", command) for command in _commands(text))
        elif kind == "python" and not NAMED.match(text):
            yield "python", text


def _run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _run_together(commands: list[str], folder: Path) -> None:
    assert all(command.startswith("hepflow ") for command in commands)
    outputs = _run([sys.executable, "-c", TOGETHER, *commands], folder).split("\0")
    assert len(outputs) == len(commands) + 1
    assert "" not in outputs[:-1]


def _write_files(page: Path, folder: Path) -> None:
    for _, text in _blocks(page):
        named = NAMED.match(text)
        if named:
            target = folder / named.group(1)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_work(page: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Files named in their first line are written, then all commands run in order; those of ``chain`` have been run."""
    request.getfixturevalue("sample_cache")
    for package in NEEDED.get(page.stem, ()):
        pytest.importorskip(package, reason=f"{package} is not installed")
    if page.stem == "plots":
        shutil.copytree(request.getfixturevalue("chain"), tmp_path, dirs_exist_ok=True)
        assert set(CHAIN) <= {text for _, text in _steps(page)}
    _write_files(page, tmp_path)
    for kind, steps in groupby(_steps(page), key=itemgetter(0)):
        texts = [text for _, text in steps if text not in CHAIN]
        if kind == "bash":
            _run_together(texts, tmp_path)
        else:
            assert [_run([sys.executable, "-c", text], tmp_path) for text in texts] == [""] * len(texts)


def test_the_tool_of_the_readme_is_found_as_a_plugin_and_runs(tmp_path: Path, sample_cache: Path) -> None:
    """The example package, installed the way pip leaves it behind, is listed, described and run with two workers."""
    _write_files(ROOT / "README.md", tmp_path)
    info = tmp_path / "taumass-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: taumass\nVersion: 0.1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[hepflow]\ntaumass = taumass.plugin\n", encoding="utf-8")
    assert "Add the invariant mass" in _run(["hepflow", "list", "tools"], tmp_path)
    assert "PionMass" in _run(["hepflow", "describe", "TrackMass"], tmp_path)
    (tmp_path / "Mass.py").write_text(
        "from hepflow import Job\nfrom hepflow.streams import NtupleStream\nfrom taumass.tools import TrackMass\n"
        'job = Job("Mass", default_sample="Gammatautau")\nstream = NtupleStream("tree")\n'
        "stream += TrackMass()\njob += stream\n",
        encoding="utf-8",
    )
    output = _run(["hepflow", "run", "Mass.py", "-n", "500", "-j", "2", "-o", "mass"], tmp_path)
    assert "taumass 0.1" in output
    assert "trackMass" in _run(["hepflow", "inspect", "mass/tree_000001.root"], tmp_path)
