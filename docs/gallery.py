# %% A distribution for each class
import numpy as np

from hepflow.plots import Axis, Histogram
from hepflow.plots.figures import Style, draw

rng = np.random.default_rng(1)
pt = Axis("pt", tuple(np.linspace(20, 200, 19)), "pT", "GeV")
eta = Axis("eta", tuple(np.linspace(-2.5, 2.5, 26)), "η")
one, three = Histogram(pt, "1 track"), Histogram(pt, "3 tracks")
one.fill(20 + rng.exponential(50, 4000))
three.fill(20 + rng.exponential(35, 1500))
style = Style("My analysis", ("pT > 20 GeV",))
draw([one, three], style=style, legend="tracks")

# %% Shapes with ratios
draw([one, three], style=style, normalise=True, ratio=True)

# %% A stack with data and a signal
from hepflow.plots import Stack

signal, data = Histogram(pt, "signal"), Histogram(pt, "data")
signal.fill(rng.normal(125, 15, 600))
data.fill(np.concatenate([20 + rng.exponential(50, 4100), 20 + rng.exponential(35, 1450)]))
draw(Stack([three, one], data, [signal]), style=style, ratio=True, log_y=True)

# %% Two dimensions
plane = Histogram([pt, eta], "all taus")
plane.fill(20 + rng.exponential(50, 8000), rng.normal(0, 1.2, 8000))
draw(plane, style=style)

# %% Efficiencies with their ratio
from hepflow.plots import Comparison, EfficiencyProfile

new = EfficiencyProfile(pt, "new", title="Efficiency among reconstructed taus")
old = EfficiencyProfile(pt, "old", title="Efficiency among reconstructed taus")
x = rng.uniform(20, 200, 6000)
new.fill(x, rng.random(6000) < 0.9 - 8 / x)
old.fill(x, rng.random(6000) < 0.85 - 10 / x)
draw(Comparison([old, new]), style=style)

# %% A mean
from hepflow.plots import Profile

mean = Profile(eta, Axis("m", (0, 3), "visible mass", "GeV"), "1p1n")
where = rng.uniform(-2.5, 2.5, 4000)
mean.fill(where, rng.normal(0.8 + 0.05 * where**2, 0.1))
draw(mean, style=style)

# %% A resolution
from hepflow.plots import ResolutionProfile

response = ResolutionProfile(eta, Axis("ratio", tuple(np.linspace(0, 2, 201)), "reconstructed / true pT"), "TES")
response.fill(where, rng.normal(1, 0.08 * (1 + 0.2 * np.abs(where))))
draw(response, style=style, mode="core")

# %% A migration matrix
from hepflow.plots import MigrationMatrix

modes = ["1p0n", "1p1n", "1pXn", "3p0n", "3pXn"]
network, counting = MigrationMatrix(modes, label="network"), MigrationMatrix(modes, label="counting")
truth = rng.integers(0, 5, 5000)
for matrix, right in ((network, 0.8), (counting, 0.6)):
    near = np.clip(truth + rng.choice([-1, 1], 5000), 0, 4)
    matrix.fill(truth, np.where(rng.random(5000) < right, truth, near))
draw(network, style=style)

# %% Two networks side by side, and their difference
draw([counting, network], style=style)

# %% ROC curves and working points
from hepflow.plots import RocCurve, WorkingPoint

is_signal = rng.random(8000) < 0.4
curves = []
for label, apart in (("network", 2.5), ("BDT", 2.0)):
    curve = RocCurve(label)
    curve.fill(1 / (1 + np.exp(-rng.normal(apart * (is_signal - 0.5)))), is_signal)
    curves.append(curve)
cut = WorkingPoint("cuts")
cut.fill(rng.random(8000) < np.where(is_signal, 0.6, 0.15), is_signal)
draw([*curves, cut], style=Style("My analysis", ("signal: τ (3,200)", "background: jets (4,800)")), ratio=True)

# %% Correlations
from hepflow.plots import CorrelationMatrix

correlations = CorrelationMatrix(["pt", "eta", "mass", "width"], "signal")
a, b = rng.normal(size=(2, 3000))
correlations.fill(a, b, a + b, b - 0.5 * a)
draw(correlations, style=style)

# %% Variations as a band
from hepflow.plots import Bands

up, down = Histogram(pt, "1 track"), Histogram(pt, "1 track")
up.fill(20 + rng.exponential(54, 4100))
down.fill(20 + rng.exponential(46, 3900))
draw(Bands(one, {"TES_UP": [up], "TES_DOWN": [down]}), style=style)

# %% Learning curves
from hepflow.plots import Line, Panel
from hepflow.plots.figures import draw_panels

epochs = list(range(1, 31))
lines = [Line(epochs, [0.5 + 1 / e for e in epochs], "training"), Line(epochs, [0.53 + 1 / e for e in epochs], "validation")]
draw_panels([Panel(lines, "Epoch", "Loss", mark=(20, "best epoch 20"))], style=style)

# %% An event display
from hepflow.plots import EventDisplay
from hepflow.plots.display import Marks

tracks = Marks("tracks", eta=(0.01, -0.02, 0.03), phi=(0.02, -0.01, 0.0), pt=(12.0, 20.0, 6.0))
neutral = Marks("neutral PFOs", eta=(0.05,), phi=(-0.04,), pt=(15.0,))
draw(EventDisplay((tracks, neutral), "a tau of three tracks"), style=style)
