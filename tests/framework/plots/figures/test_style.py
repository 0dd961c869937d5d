"""The look: settings come back, threads wait, pyplot is not touched, fonts are ours, colours can be told apart."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.font_manager import findfont
from PIL import Image

from hepflow.errors import PlotError
from hepflow.plots.figures import Style, draw
from hepflow.plots.figures.picture import bare_figure, picture
from hepflow.plots.figures.style import FONTS, colour_map, house_style, look_of
from tests.framework.plots.figures.conftest import histogram, roc


def lightness(colour):
    """CIE L*, 0 for black and 100 for white: what a grey printer shows."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


def as_seen(colour, kind):
    """A colour as people with a full colour-vision deficiency see it (Machado, Oliveira, Fernandes 2009)."""
    matrices = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.clip(np.array(matrices[kind]) @ linear, 0, 1) ** (1 / 2.2)


def test_settings_come_back_also_after_an_error():
    with mpl.rc_context({"font.size": 33, "lines.linewidth": 7}):
        before = dict(mpl.rcParams)
        draw(histogram())
        assert dict(mpl.rcParams) == before
        with pytest.raises(PlotError):
            draw([])
        assert dict(mpl.rcParams) == before


def test_the_users_settings_change_nothing():
    expected = picture(draw(histogram()), "png", dpi=40)
    with mpl.rc_context(
        {"font.size": 33, "axes.facecolor": "red", "savefig.transparent": True, "font.family": "serif"}
    ):
        figure = draw(histogram())
        assert picture(figure, "png", dpi=40) == expected
        figure.savefig(buffer := io.BytesIO(), dpi=40)  # as anybody does
    pixels = [Image.open(one).convert("RGB").tobytes() for one in (buffer, io.BytesIO(expected))]
    assert pixels[0] == pixels[1]


@pytest.mark.parametrize(("width", "dpi"), [(14.399999999999999, 100), (2.3, 60), (1.015, 150)])
def test_a_picture_has_the_size_that_matplotlib_gives_it(width, dpi):
    content = picture(bare_figure(width, 1.0), "png", dpi=dpi)
    assert int.from_bytes(content[16:20], "big") == pytest.approx(width * dpi, abs=1)


def test_threads_draw_the_same_as_one():
    made = [histogram(seed=seed) for seed in range(4)]
    expected = [picture(draw(plot), "png", dpi=40) for plot in made]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda plot: picture(draw(plot), "png", dpi=40), made)) == expected


def test_pyplot_knows_of_no_figure_and_the_backend_stays():
    import matplotlib.pyplot as plt

    backend, numbers = mpl.rcParams._get("backend"), plt.get_fignums()
    draw(roc("DSNN"))
    assert plt.get_fignums() == numbers
    assert mpl.rcParams._get("backend") == backend


def test_fonts_come_with_matplotlib_or_mplhep():
    with house_style():
        for family in FONTS:
            path = findfont(family, fallback_to_default=False)
            assert "matplotlib" in path or "mplhep_data" in path


def test_the_first_curves_differ_in_brightness():
    with house_style():
        shades = [lightness(look_of(place).colour) for place in range(4)]
    assert min(abs(a - b) for i, a in enumerate(shades) for b in shades[:i]) > 10


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_the_first_curves_differ_for_all_colour_visions(kind):
    with house_style():
        seen = [as_seen(look_of(place).colour, kind) for place in range(4)]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]) > 0.2


def test_no_two_of_many_curves_look_the_same():
    with house_style():
        looks = [look_of(place) for place in range(64)]
    assert len({(look.colour, str(look.line)) for look in looks}) == 64
    assert len({(look.colour, look.marker) for look in looks}) == 64


def test_areas_get_darker_all_the_way():
    shades = [lightness(colour_map()(x)) for x in np.linspace(0, 1, 50)]
    assert (np.diff(shades) < 0).all()


def test_lines_of_a_style_are_a_list():
    assert Style(lines=["a"]).lines == ("a",)
    with pytest.raises(PlotError, match=r"lines=\('test fold',\)"):
        Style(lines="test fold")


@pytest.mark.parametrize("missing", ["matplotlib", "mplhep"])
def test_what_to_install_is_said(missing):
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from hepflow.errors import PlotError\n"
        "from hepflow.plots import Axis, Histogram\n"
        "from hepflow.plots.figures import draw\n"
        "try:\n    draw(Histogram(Axis('x', (0, 1))))\n"
        "except PlotError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    assert f"drawing figures needs the package {missing}" in done.stdout
    assert "hepflow[plots]" in done.stdout


def test_naming_the_package_loads_nothing_heavy():
    script = (
        "import sys, hepflow.plots.figures as f; f.Style; print('matplotlib' in sys.modules, 'hist' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.split() == ["False", "False"]
