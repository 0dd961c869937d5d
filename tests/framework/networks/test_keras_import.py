"""Importing Keras: the terminal stays quiet, what fails is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


def python(code, **environment):
    """Run code in a fresh interpreter, with TensorFlow's own settings left to hepflow; return (stdout, stderr)."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**inherited, **environment}
    )
    return done.stdout, done.stderr


IMPORT = "from hepflow.networks.keras_import import import_keras\n"
ERROR = (
    IMPORT
    + "from hepflow.errors import NetworkError\ntry: import_keras()\nexcept NetworkError as error: print(error)\n"
)


def test_tensorflow_writes_nothing_and_python_still_does():
    code = IMPORT + (
        "import os, sys\nkeras = import_keras()\n"
        "model = keras.Sequential([keras.layers.Dense(1)])\nmodel.compile(loss='mse')\n"
        "import numpy as np\nfor n in range(1, 9): model.predict(np.ones((n, 2)), verbose=0)\n"
        "print(keras.backend.backend())\nos.write(2, b'mine')"
    )
    assert python(code, TF_ENABLE_ONEDNN_OPTS="1") == ("tensorflow\n", "mine")


def test_who_sets_the_level_of_tensorflow_sees_its_lines():
    assert "oneDNN" in python(IMPORT + "import_keras()", TF_CPP_MIN_LOG_LEVEL="0", TF_ENABLE_ONEDNN_OPTS="1")[1]


@pytest.mark.parametrize(
    ("missing", "backend", "words"),
    [
        ("keras", "", "hepflow[train]"),
        ("tensorflow", "tensorflow", "hepflow[train]"),
        ("jax", "jax", "hepflow[train,jax]"),
        ("torch", "torch", "hepflow[train,torch]"),
        ("", "jx", "did you mean 'jax'?"),
    ],
)
def test_a_missing_backend_names_the_extra(missing, backend, words):
    block = f"import sys; sys.modules[{missing!r}] = None\n" if missing else ""
    out, _ = python(block + ERROR, **({"KERAS_BACKEND": backend} if backend else {}))
    assert words in out
    assert (f"KERAS_BACKEND={backend}" in out) == bool(backend)


def test_what_was_written_before_a_failure_is_shown():
    broken = (
        "import os, sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'keras':\n"
        "            os.write(2, b'what went wrong')\n"
        "            raise ImportError('no')\n"
        "sys.meta_path.insert(0, Broken())\n"
    )
    assert python(broken + ERROR)[1] == "what went wrong"


@pytest.mark.parametrize(
    ("missing", "environment", "words"),
    [
        ("keras", {}, "hepflow[train]"),
        ("jax", {"KERAS_BACKEND": "jax"}, "KERAS_BACKEND=jax\n  hint:  pip install 'hepflow[train,jax]'"),
        ("", {"KERAS_BACKEND": "jx"}, "did you mean 'jax'?"),
        ("torch", {"KERAS_HOME": "torch"}, "keras.json\n  hint:  pip install 'hepflow[train,torch]'"),
        ("", {"KERAS_HOME": "none"}, "fine"),
        ("", {"KERAS_HOME": "damaged"}, "fine"),
    ],
)
def test_check_tells_what_is_missing_without_importing(tmp_path, missing, environment, words):
    for name, text in (("torch", '{"backend": "torch"}'), ("damaged", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keras.json").write_text(text)
    if "KERAS_HOME" in environment:
        environment = {"KERAS_HOME": str(tmp_path / environment["KERAS_HOME"])}
    code = f"import sys; sys.modules[{missing!r}] = None\n" if missing else "import sys\n"
    code += ERROR.replace("import_keras", "check_keras").replace("\nexcept", "; print('fine')\nexcept")
    loaded = "print({'keras', 'tensorflow', 'jax', 'torch'} & {n for n, m in sys.modules.items() if m})"
    out, _ = python(code + loaded, **environment)
    assert words in out
    assert out.endswith("set()\n")
