"""Where the ATLAS files are, and the formats that ship."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hepflow.io.ntuple import NtupleRNTupleReader, NtupleTTreeReader
from hepflow.io.rntuple import RNTupleReader
from hepflow.io.ttree import TTreeReader

DATA = Path(os.environ.get("HEPFLOW_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


@pytest.fixture(scope="session")
def formats():
    return [RNTupleReader, TTreeReader, NtupleRNTupleReader, NtupleTTreeReader]


def _file(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA}; HEPFLOW_TEST_DATA names the folder")
    return str(path)


@pytest.fixture(scope="session")
def physlite_ttree():
    reader = TTreeReader(_file("PHYSLITE_example.root"))
    yield reader
    reader.close()


@pytest.fixture(scope="session")
def physlite_rntuple():
    reader = RNTupleReader(_file("PHYSLITE_rntuple.root"))
    yield reader
    reader.close()
