"""setup.sh, sourced in real shells over a project small enough to install in seconds and without network."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHELLS = {"bash": ["--norc", "--noprofile", "-c"], "zsh": ["-f", "-c"]}
SAFE = "set -eu -o pipefail; "

SETUP_CFG = "[metadata]\nname = hepflow\n[options.extras_require]\nsample =\ntest =\nall =\n"
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BACKEND = """
import os, zipfile
from pathlib import Path

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    if "BUILD_FAILS" in os.environ:
        raise OSError(os.environ["BUILD_FAILS"])
    info = "hepflow-0.1.0.dist-info"
    extras = "Provides-Extra: all\\nProvides-Extra: sample\\nProvides-Extra: test\\n"
    files = {
        "hepflow_here.pth": str(Path("links").resolve()) + "\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: hepflow\\nVersion: 0.1.0\\n" + extras,
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": "[console_scripts]\\nhepflow = hepflow:main\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in [*files, f"{info}/RECORD"])
    name = "hepflow-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
"""


def make_project(folder: Path) -> Path:
    """A clone with our setup.sh, the same mapping of `framework` to `hepflow`, and a build backend of its own."""
    (folder / "framework").mkdir(parents=True)
    (folder / "links").mkdir()
    (folder / "links" / "hepflow").symlink_to("../framework")
    (folder / "framework" / "__init__.py").write_text("def main():\n    print('hepflow runs')\n")
    (folder / "setup.cfg").write_text(SETUP_CFG)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    shutil.copy(ROOT / "setup.sh", folder)
    return folder


def packages(environment: Path) -> Path:
    """The site-packages folder of an environment."""
    return environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def lend_pip(environment: Path) -> None:
    """Give an environment pip in no time: a link to ours."""
    ours = importlib.util.find_spec("pip")
    if ours is None or ours.origin is None:
        pytest.skip("this environment has no pip to lend")
    (packages(environment) / "pip").symlink_to(Path(ours.origin).parent)


def make_environment(folder: Path, *, pip: bool = True) -> Path:
    """A virtual environment, made faster than with ensurepip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    if pip:
        lend_pip(folder)
    return folder


def install_foreign(environment: Path) -> None:
    """What installing a distribution that uses our import name leaves in an environment."""
    info = packages(environment) / "fasthep_flow-2026.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fasthep-flow\nVersion: 2026.1\n")
    (info / "RECORD").write_text("hepflow/__init__.py,,\n")
    (packages(environment) / "hepflow").mkdir()
    (packages(environment) / "hepflow" / "__init__.py").touch()


def source(
    project: Path, then: str = ":", *, shell: str = "bash", before: str = "", **variables: object
) -> subprocess.CompletedProcess[str]:
    """Source the project's setup.sh from the folder above it, by a relative path, and run `then` if it succeeds."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONDA", "PYTHON", "PIP_"))}
    for name in ("VIRTUAL_ENV", "HEPFLOW_EXTRAS"):
        kept.pop(name, None)
    outside = [place for place in kept["PATH"].split(":") if not Path(place).is_relative_to(sys.prefix)]
    kept |= {"PATH": ":".join([f"{sys.base_prefix}/bin", *outside]), "PIP_NO_INDEX": "1"}
    return subprocess.run(
        [program, *SHELLS[shell], f'{before} source "{project.name}/setup.sh" && {then}'],
        cwd=project.parent,
        env=kept | {name: str(value) for name, value in variables.items()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "my clone")


@pytest.fixture
def environment(tmp_path):
    return make_environment(tmp_path / "an env")


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A project whose first call found a .venv without pip, as Debian leaves one; later calls find no pip either."""
    if importlib.util.find_spec("ensurepip") is None:
        pytest.skip("this Python makes no environments with pip")
    project = make_project(tmp_path_factory.mktemp("ready") / "my clone")
    make_environment(project / ".venv", pip=False)
    first = source(project, "hepflow", before=SAFE)
    assert (first.returncode, first.stdout) == (0, "hepflow runs\n"), first.stderr
    said = first.stderr.splitlines()
    assert len(said) == 3
    assert f"removing the unfinished or broken {project}/.venv" in said[0]
    assert f"making {project}/.venv with Python {sys.version_info[0]}." in said[1]
    assert "installing hepflow[all]" in said[2]
    shutil.rmtree(packages(project / ".venv") / "pip")
    return project


@pytest.mark.parametrize("shell", SHELLS)
def test_second_call_is_quick_and_needs_neither_pip_nor_network(ready, shell):
    second = source(ready, "hepflow && command -v python", shell=shell, before=SAFE)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == f"hepflow runs\n{ready}/.venv/bin/python\n"


def test_second_call_from_other_folders(ready, tmp_path):
    for place, path in ((ready, "./setup.sh"), (tmp_path, f"{ready}/setup.sh")):
        result = source(ready, before=f"cd '{place}' && source '{path}' && hepflow && cd '{ready.parent}' &&")
        assert (result.returncode, result.stdout) == (0, "hepflow runs\n"), result.stderr


OF_VENV = {"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "_OLD_VIRTUAL_PATH", "_OLD_VIRTUAL_PS1", "PS1", "deactivate"}
NAMES = {
    "bash": "{ compgen -v; compgen -A function; set -o; shopt; trap; }",
    "zsh": "print -l ${(k)parameters} ${(k)functions} ${(kv)options} $(trap)",
}


@pytest.mark.parametrize("succeeds", [True, False])
@pytest.mark.parametrize("shell", SHELLS)
def test_leaves_no_names_and_the_options_as_they_were(ready, project, environment, shell, succeeds):
    if not succeeds:
        install_foreign(environment)
    clone, variables = (ready, {}) if succeeds else (project, {"VIRTUAL_ENV": environment})
    names = NAMES[shell]
    script = (
        f'{names} >before; if source "{clone.name}/setup.sh" 2>said; then echo yes; else echo no; fi; {names} >after;'
    )
    result = source(clone, shell=shell, before=script + "exit;", **variables)
    assert result.stdout.split() == ["yes" if succeeds else "no"], result.stderr
    before, after = (set((clone.parent / name).read_text().split("\n")) for name in ("before", "after"))
    assert len(before) > 50
    assert after - before - OF_VENV - {"PIPESTATUS", "pipestatus", "_"} == set()


@pytest.mark.parametrize("shell", SHELLS)
def test_failure_returns_and_does_not_end_the_shell(project, environment, shell):
    install_foreign(environment)
    script = 'source "my clone/setup.sh" || echo "failed with $?"; echo alive;'
    result = source(project, shell=shell, before=SAFE + script, VIRTUAL_ENV=environment)
    assert result.stdout == "failed with 1\nalive\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_active_virtual_environment_is_used(project, environment, shell):
    before = f"{SAFE} source '{environment}/bin/activate';"
    first = source(project, "hepflow", shell=shell, before=before, HEPFLOW_EXTRAS="sample,test")
    assert (first.returncode, first.stdout) == (0, "hepflow runs\n"), first.stderr
    assert "installing hepflow[sample,test]" in first.stderr
    assert not (project / ".venv").exists()
    assert (environment / "bin" / "hepflow").exists()
    assert source(project, shell=shell, before=before, HEPFLOW_EXTRAS="sample,test").stderr == ""


def test_other_extras_or_another_setup_cfg_install_again(project, environment):
    assert source(project, VIRTUAL_ENV=environment, HEPFLOW_EXTRAS="test").returncode == 0
    stamp = (environment / ".hepflow-setup").read_text()
    again = source(project, VIRTUAL_ENV=environment, HEPFLOW_EXTRAS="", BUILD_FAILS="stop here")
    assert "installing hepflow and" in again.stderr
    # The failure took the stamp away, so that the next call tries again.
    assert not (environment / ".hepflow-setup").exists()
    (environment / ".hepflow-setup").write_text(stamp)
    assert source(project, VIRTUAL_ENV=environment, HEPFLOW_EXTRAS="test").stderr == ""
    assert source(project, VIRTUAL_ENV=environment).stderr == ""  # without a word the extras stay
    (project / "setup.cfg").write_text(SETUP_CFG + "# other\n")
    again = source(project, VIRTUAL_ENV=environment, HEPFLOW_EXTRAS="test", BUILD_FAILS="stop here")
    assert "installing hepflow[test] and" in again.stderr


def test_environment_that_path_lost_is_activated(project, environment):
    result = source(project, "command -v python", VIRTUAL_ENV=environment)
    assert result.stdout == f"{environment}/bin/python\n", result.stderr


def test_active_conda_environment_is_used_but_not_base(project, ready, environment):
    result = source(project, CONDA_PREFIX=environment, CONDA_DEFAULT_ENV="analysis")
    assert result.returncode == 0, result.stderr
    assert (environment / "bin" / "hepflow").exists()
    result = source(ready, "command -v python", CONDA_PREFIX=environment, CONDA_DEFAULT_ENV="base")
    assert result.stdout == f"{ready}/.venv/bin/python\n", result.stderr


def test_active_environment_that_cannot_serve(project, tmp_path):
    result = source(project, VIRTUAL_ENV=tmp_path / "gone")
    assert result.returncode == 1
    assert "has no Python that works" in result.stderr
    old = tmp_path / "old" / "bin"
    old.mkdir(parents=True)
    (old / "python").write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1\n[ -z "$3" ]\n')
    (old / "python").chmod(0o755)
    result = source(project, VIRTUAL_ENV=old.parent)
    assert result.returncode == 1
    assert "has Python 3.9.1; hepflow needs 3.10 to 3.13" in result.stderr


def test_foreign_hepflow_is_named_before_and_after(project, environment, ready):
    install_foreign(environment)
    result = source(project, VIRTUAL_ENV=environment)
    assert result.returncode == 1
    assert "fasthep-flow 2026.1 is installed in" in result.stderr
    assert "pip uninstall fasthep-flow)" in result.stderr
    assert "installing" not in result.stderr

    install_foreign(ready / ".venv")
    lend_pip(ready / ".venv")
    result = source(ready)
    (packages(ready / ".venv") / "pip").unlink()
    shutil.rmtree(packages(ready / ".venv") / "hepflow")
    shutil.rmtree(packages(ready / ".venv") / "fasthep_flow-2026.1.dist-info")
    assert "fasthep-flow 2026.1" in result.stderr
    assert source(ready).stderr == ""


def test_hidden_by_pythonpath(project, environment, tmp_path):
    (tmp_path / "other" / "hepflow").mkdir(parents=True)
    (tmp_path / "other" / "hepflow" / "__init__.py").touch()
    result = source(project, VIRTUAL_ENV=environment, PYTHONPATH=tmp_path / "other")
    assert result.returncode == 1
    assert f"finds {tmp_path}/other/hepflow and not {project}/framework" in result.stderr
    assert "PYTHONPATH" in result.stderr


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("[Errno 28] No space left on device", "the disk is full"),
        ("Connection to the index timed out", "check network and proxy"),
        ("any other", "read the whole log"),
    ],
)
def test_failed_installation_shows_its_last_lines_and_leaves_no_stamp(project, environment, cause, advice):
    result = source(project, VIRTUAL_ENV=environment, BUILD_FAILS=cause)
    assert result.returncode == 1
    assert f"OSError: {cause}" in result.stderr
    assert advice in result.stderr
    assert len(result.stderr.splitlines()) < 20
    assert cause in (project / "build" / "setup.log").read_text()
    assert not (environment / ".hepflow-setup").exists()


def test_unknown_extra(project, environment):
    result = source(project, VIRTUAL_ENV=environment, HEPFLOW_EXTRAS="sample, trian")
    assert result.returncode == 1
    assert "trian is not among sample, test, all" in result.stderr


def test_working_venv_of_another_maker_is_kept(project):
    make_environment(project / ".venv")
    (packages(project / ".venv") / "mine.py").touch()
    assert source(project).returncode == 0
    assert (packages(project / ".venv") / "mine.py").exists()


def test_broken_venv_of_another_maker_is_refused(project):
    make_environment(project / ".venv")
    (packages(project / ".venv") / "mine.py").touch()
    (project / ".venv" / "bin" / "python").unlink()
    result = source(project)
    assert result.returncode == 1
    assert "holds packages that setup.sh did not install" in result.stderr
    assert (packages(project / ".venv") / "mine.py").exists()


def test_venv_that_is_something_else_is_refused(project):
    (project / ".venv").mkdir()
    (project / ".venv" / "notes.txt").touch()
    assert source(project).returncode == 1
    assert (project / ".venv" / "notes.txt").exists()


def test_moved_project_gets_its_environment_anew(ready, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(ready, moved, symlinks=True)
    lend_pip(moved / ".venv")
    result = source(moved, "command -v python hepflow && hepflow")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{moved}/.venv/bin/python\n{moved}/.venv/bin/hepflow\nhepflow runs\n"
    assert "removing the unfinished or broken" in result.stderr


def tools(folder: Path, **scripts: str) -> str:
    """A PATH with the few programs that setup.sh uses, and these shell scripts."""
    folder.mkdir()
    for name in ("cat", "cksum", "cut", "dirname", "find", "grep", "mkdir", "rm", "rmdir", "sed", "tail", "ln", "sh"):
        (folder / name).symlink_to(shutil.which(name))
    for name, text in scripts.items():
        (folder / name.replace("_", ".")).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name.replace("_", ".")).chmod(0o755)
    return str(folder)


def test_no_python(project, tmp_path):
    result = source(project, PATH=tools(tmp_path / "bin", python3="exit 127"))
    assert result.returncode == 1
    assert "no python3 of version 3.10 to 3.13 in PATH" in result.stderr
    assert not (project / ".venv").exists()


NO_VENV = f'case "$*" in *ensurepip*|*"-m venv"*) exit 1 ;; esac\nexec {sys.base_prefix}/bin/python3 "$@"'


def test_python_without_venv_names_the_package(project, tmp_path):
    result = source(project, PATH=tools(tmp_path / "bin", python3="exit 127", python3_12=NO_VENV))
    assert result.returncode == 1
    assert f"apt-get install python3.{sys.version_info[1]}-venv)" in result.stderr
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("maker", ["virtualenv", "uv"])
def test_python_without_venv_falls_back(project, environment, tmp_path, maker):
    pip = (packages(environment) / "pip").resolve()
    make = f'{sys.executable} -m venv --without-pip "$last" && ln -s {pip} "$last"/lib/python*/site-packages'
    make = f"for last; do :; done; {make}"
    result = source(project, "hepflow", PATH=tools(tmp_path / "bin", python3=NO_VENV, **{maker: make}))
    assert (result.returncode, result.stdout) == (0, "hepflow runs\n"), result.stderr


@pytest.mark.parametrize("shell", ["dash", "ksh", "mksh", "fish"])
def test_other_shells_are_told(project, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    dot = "source" if shell == "fish" else "."
    result = subprocess.run(
        [shell, "-c", f"{dot} ./setup.sh"], cwd=project, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "setup.sh is for bash and zsh" in result.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_running_instead_of_sourcing_is_told(project, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    result = subprocess.run([shell, "setup.sh"], cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "run  source setup.sh" in result.stderr


def test_versions_agree_with_setup_cfg():
    parser = RawConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    assert parser.get("options", "python_requires") == ">=3.10,<3.14"
    text = (ROOT / "setup.sh").read_text()
    assert "(3, 10) <= sys.version_info[:2] <= (3, 13)" in text
    assert "python3.13 python3.12 python3.11 python3.10" in text
