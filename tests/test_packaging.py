"""What is installed: the list in setup.cfg, the folders of the repository and a built wheel say the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from configparser import RawConfigParser
from pathlib import Path

import pytest

from hepflow.io.pages import VERSIONS

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "hepflow": "framework",
    "hepflow.plugins": "plugins",
    "hepflow.streams": "streams",
    "hepflow.jobconfigs": "jobconfigs",
}


@pytest.fixture(scope="module")
def config():
    parser = RawConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def installed_files() -> dict[str, Path]:
    """Every file of the mapped folders, by the path it has in a wheel."""
    return {
        f"{package.replace('.', '/')}/{file.relative_to(ROOT / folder).as_posix()}": file
        for package, folder in FOLDERS.items()
        for file in sorted((ROOT / folder).rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in a wheel that is built, without network, from a copy: an old build/ folder must not leak into it."""
    pytest.importorskip("setuptools", minversion="70.1", reason="building without network needs setuptools 70.1")
    box = tmp_path_factory.mktemp("wheel")
    for name in (*FOLDERS.values(), "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, box / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, box)
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, box], cwd=box, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(next(box.glob("hepflow-*.whl"))) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_folders_are_mapped(config):
    lines = config.get("options", "package_dir").split("\n")
    assert dict(line.split(" = ") for line in lines if line) == FOLDERS


def test_packages_are_the_folders_with_modules(config):
    listed = config.get("options", "packages").split()
    assert listed == sorted(set(listed)), "written out once each, in order"
    found = {str(Path(name).parent).replace("/", ".") for name in installed_files() if name.endswith(".py")}
    assert set(listed) == found


def test_every_package_has_an_init(config):
    files = installed_files()
    assert [
        name
        for name in config.get("options", "packages").split()
        if f"{name.replace('.', '/')}/__init__.py" not in files
    ] == []


def test_wheel_has_every_file_of_the_folders_and_nothing_else(wheel):
    assert {name for name in wheel if ".dist-info/" not in name} == set(installed_files())


def test_nothing_but_hepflow_is_installed_at_top_level(wheel, config):
    info = f"hepflow-{config.get('metadata', 'version')}.dist-info"
    assert {name.split("/")[0] for name in wheel} == {"hepflow", info}


def test_wheel_metadata(wheel, config):
    info = {name.split(".dist-info/")[1]: text.decode() for name, text in wheel.items() if ".dist-info/" in name}
    metadata = info["METADATA"]
    assert "Requires-Python: <3.14,>=3.10" in metadata
    assert set(config.options("options.extras_require")) == {
        line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra: ")
    }
    assert "hepflow = hepflow.cli:main" in info["entry_points.txt"]
    assert any(name.endswith("LICENSE") for name in info)


def test_extra_all_is_every_other_but_the_large_backends(config):
    extras = set(config.options("options.extras_require")) - {"all", "jax", "torch"}
    named = config.get("options.extras_require", "all").strip().removeprefix("hepflow[").removesuffix("]")
    assert set(named.split(",")) == extras


def test_every_dependency_has_a_lower_bound(config):
    options = {"install_requires": config.get("options", "install_requires")}
    options |= {name: config.get("options.extras_require", name) for name in config.options("options.extras_require")}
    del options["all"]
    lines = [line for text in options.values() for line in text.split("\n") if line and not line.startswith("#")]
    assert [line for line in lines if ">=" not in line and not line.startswith("hepflow[")] == []


def test_the_private_parts_of_uproot_are_those_of_known_versions(config):
    assert VERSIONS in config.get("options", "install_requires").split("\n")


def test_installed_package_is_importable_from_anywhere(tmp_path):
    """Also in a process started the way workers are."""
    text = (
        "import multiprocessing, hepflow.plugins, hepflow.streams\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(eval, ('__import__(\"hepflow.plugins\").plugins.__file__',)))\n"
    )
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).resolve() == ROOT / "plugins" / "__init__.py"
