"""The samples of tau candidates, which are made on demand and kept in the user's cache."""

from __future__ import annotations

from hepflow.datafiles import data_folders, find_data_file
from hepflow.plugins.simulation.samples import LIBRARY, recipe
from hepflow.plugins.tau.energyscale.final import TauFinalCalibration

__all__ = ["DIJET", "GAMMATAUTAU"]

TOOLS = ("simulation.tools", "tau.energyscale.final")
FILES = [
    LIBRARY,
    *(
        find_data_file(prop.default, data_folders(), where=name)
        for name, prop in TauFinalCalibration.properties().items()
        if prop.file
    ),
]
"""What the tools of these samples read; a sample is another one with another calibration."""

GAMMATAUTAU = recipe("Gammatautau", TOOLS, FILES)
DIJET = recipe("Dijet", TOOLS, FILES)
