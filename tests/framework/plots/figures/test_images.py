"""Pictures stay as they are: a dozen figures of the gallery against references that were looked at.

After a wanted change, look at the new ones and commit them: ``HEPFLOW_NEW_REFERENCES=1 pytest
tests/framework/plots/figures/test_images.py`` writes them. Only on Linux, with the matplotlib that drew the references:
fonts come with matplotlib and mplhep, but other versions set letters differently, by as much as a legend that moves.
What must hold anywhere is in ``test_layout.py``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.testing.compare import compare_images

from hepflow.plots.figures.picture import picture
from tests.framework.plots.figures.conftest import GALLERY, figure_of

REFERENCE = Path(__file__).parent / "reference"
NAMES = (
    "five normalised",
    "eight logarithmic",
    "stack",
    "comparison",
    "category points",
    "width",
    "roc ratio",
    "matrix",
    "area",
    "one is empty",
    "learning curves",
    "trials",
)
DPI = 45
TOLERANCE = 2.5
"""Root mean square of the difference, of 255: lets edges of letters differ, not their places."""

MATPLOTLIB = "3.11."

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not mpl.__version__.startswith(MATPLOTLIB),
    reason=f"the references were drawn on Linux with matplotlib {MATPLOTLIB}x",
)


def compared(content, name, folder):
    """Why a picture differs from its reference, or None."""
    path = folder / f"{name.replace(' ', '-')}.png"
    path.write_bytes(content)
    return compare_images(str(REFERENCE / path.name), str(path), TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_picture_is_as_it_was(name, tmp_path):
    content = picture(figure_of(name), "png", dpi=DPI)
    if os.environ.get("HEPFLOW_NEW_REFERENCES"):
        REFERENCE.mkdir(exist_ok=True)
        (REFERENCE / f"{name.replace(' ', '-')}.png").write_bytes(content)
        pytest.skip("a new reference was written: look at it")
    difference = compared(content, name, tmp_path)
    assert difference is None, difference


def test_references_are_small_and_all_are_used():
    files = {path.stem: path.stat().st_size for path in REFERENCE.iterdir()}
    assert set(files) == {name.replace(" ", "-") for name in NAMES}
    assert max(files.values()) <= 45_000


@pytest.mark.parametrize("change", ["legend", "label", "marker", "colour"])
def test_a_change_is_noticed(change, tmp_path):
    """Larger than the tolerance: a legend that moves, a label that is gone, another marker, another colour."""
    figure = GALLERY["category points"]()
    axes = figure.axes[0]
    if change == "legend":
        axes.get_legend().set_loc("lower left")
    elif change == "label":
        axes.xaxis.label.set_visible(False)
    elif change == "marker":
        axes.containers[0].lines[0].set_markersize(14)
    else:
        for line in axes.containers[0].get_children():
            line.set_color("#ff0000")
    assert compared(picture(figure, "png", dpi=DPI), "category points", tmp_path) is not None
