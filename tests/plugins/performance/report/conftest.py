"""A run with figures, made by the engine, and reading what a page says."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from hepflow.execution import RunOptions, run
from hepflow.joboptions import load_joboptions

JOB = '''"""What the report is about.

A second paragraph, <b>not</b> bold.
"""
import numpy as np

from hepflow import Job, Tool
from hepflow.plugins.performance import Report
from hepflow.plugins.tau import TauSelection
from hepflow.streams import NtupleStream


class Figures(Tool):
    def reads(self):
        return ["TauJets.pt", "TauJets.eta"]

    def start(self):
        from hepflow.plots import Axis, EfficiencyProfile, Histogram, RocCurve

        pt = Axis("pt", tuple(np.linspace(0, 100, 11)), "tau pt", "GeV")
        return {
            "spectra/pt_2": Histogram(pt, label="taus"),
            "spectra/pt_10": Histogram(pt, label="</script><script>alert(2)</script>"),
            "spectra/empty": Histogram(pt, label="nothing"),
            "central": EfficiencyProfile(pt, label="central & fast"),
            "roc/pt": RocCurve("pt", bins=1000, low=0.0, high=100.0),
        }

    def execute(self, events, result):
        pt, eta = events["TauJets"].flat("pt") / 1000, events["TauJets"].flat("eta")
        result["spectra/pt_2"].fill(pt)
        result["spectra/pt_10"].fill(pt)
        result["central"].fill(pt, np.abs(eta) < 1)
        result["roc/pt"].fill(pt, np.abs(eta) < 1)

    def finalize(self, total, context):
        from hepflow.plots.figures import Style, draw, save

        style = Style("test simulation", ("taus of <i>60</i> events",))
        for name, plot in total.items():
            for path in save(draw(plot, style=style), context.path(name), plot):
                context.path(str(path.relative_to(context.directory.resolve())))
        return {name: plot.entries for name, plot in total.items()}


job = Job("Reported")
job += TauSelection("TauSelection", PtMin=20_000.0)
job += NtupleStream("tree", Keep=["TauJets.pt"])
job += Figures("Figures")
job += Report("Report", Title="Taus & <script>alert(1)</script>", Author="A. <i>Author</i>")
'''


@pytest.fixture(scope="session")
def reported(tmp_path_factory, xaod):
    """The folder of a run with a report: five figures in three folders, one of them empty. Not to be changed."""
    for package in ("hist", "jinja2", "mplhep"):
        pytest.importorskip(package, reason="reports need the extra 'plots'")
    folder = tmp_path_factory.mktemp("reported")
    (folder / "job.py").write_text(JOB, encoding="utf-8")
    options = RunOptions(inputs=[str(xaod.path)], output=str(folder / "run"))
    return run(load_joboptions(folder / "job.py", {}), options).directory


@pytest.fixture
def rundir(tmp_path, reported):
    """A copy of the run that a test may change."""
    return shutil.copytree(reported, tmp_path / "run")


VOID = {"img", "input", "link", "meta", "br", "hr"}


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    def __getitem__(self, name):
        return self.attributes[name]

    @property
    def text(self):
        """The text in it, spaces put together."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    def all(self, tag):
        """Return the elements of this name below it, in order."""
        below = [child for child in self.children if isinstance(child, Element)]
        return [one for child in below for one in ([child] if child.tag == tag else []) + child.all(tag)]

    def with_id(self, name):
        """Return the element of this id."""
        below = [child for child in self.children if isinstance(child, Element)]
        found = [child if child.attributes.get("id") == name else child.with_id(name) for child in below]
        return next((one for one in found if one is not None), None)

    def rows(self):
        """Return the texts of the cells of the tables below it, row by row."""
        return [[c.text for c in row.children if isinstance(c, Element)] for row in self.all("tr")]


class _Reader(HTMLParser):
    """Builds the tree, and insists that every element is closed where it must be."""

    def __init__(self):
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        assert len(element.attributes) == len(attrs), f"{tag} has an attribute twice: {attrs}"
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


@pytest.fixture(scope="session")
def parse():
    """Parse a page into elements."""

    def read(path):
        reader = _Reader()
        reader.feed(path.read_text(encoding="utf-8"))
        reader.close()
        assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is not closed"
        return reader.open[0]

    return read
