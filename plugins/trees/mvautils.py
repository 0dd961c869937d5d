"""Athena's MVAUtils: forests as ROOT files, read and written.

One TTree, an entry a tree, nodes in preorder, the branch that is true first; the title says whose rules hold
(``creator=TMVA``, ``xgboost``, ``lgbm``). Everything is float32. What the answers are is not in the file: that says
who calls (``GetClassification``, ``GetGradBoostMVA``, ``GetResponse``), so a file is read with one output for each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import NetworkError, many
from hepflow.files import replacing
from hepflow.networks.describing import Shown
from hepflow.networks.description import read_description, write_description
from hepflow.networks.graph import InputNode, Output
from hepflow.plugins.trees.forest import Forest, ForestModel, Tree, at_least, forest_input
from hepflow.plugins.trees.rootfile import VectorBranch, write_vectors

if TYPE_CHECKING:
    from hepflow.protocols import Model

__all__ = ["MvaUtilsReader", "MvaUtilsWriter"]

MOST_VARIABLES, MOST_NODES = 127, 32_767
TREE, NAMES = "BDT", "varList"
"""What ``tauRecTools::BDTHelper`` looks for."""
CREATORS = {"TMVA": "TMVA", "XGBoost": "xgboost", "LightGBM": "lgbm"}


class MvaUtilsWriter:
    """Athena's MVAUtils (.root), of forests of TMVA, XGBoost and LightGBM."""

    endings = (".root",)

    @staticmethod
    def takes(model: Model) -> bool:
        """Tell whether the model is a forest of these."""
        return isinstance(model, ForestModel) and model.format in CREATORS

    @staticmethod
    def write(model: Model, path: Path) -> list[str]:
        """Write the file; returns what to call in Athena. NetworkError for what MVAUtils cannot do."""
        if not isinstance(model, ForestModel):
            raise NetworkError("only forests of trees become files of MVAUtils")
        function = _check(model)
        creator = CREATORS[model.format]
        branches = _branches(model.forest, creator)
        title = f"creator={creator}" + (";node_type=lgbm" if creator == "lgbm" else "")
        if model.record or len(model.output.labels) > 1:
            described = write_description(model.record, labels=model.output.labels, name=model.output.name)
            title += f";hepflow={described.replace(';', chr(92) + 'u003b')}"
        names = (NAMES, ",".join(_names(model)))
        with replacing(path) as temporary:
            write_vectors(temporary, TREE, title, branches, names)
        return [
            f"tree {TREE!r} of {many(len(model.forest.trees), 'tree')}, names in {NAMES!r}; in Athena call {function}"
        ]


def _check(model: ForestModel) -> str:
    """Return the function of MVAUtils that gives the answers; NetworkError where there is none."""
    forest = model.forest
    if model.refusals:
        raise NetworkError(f"MVAUtils cannot apply {', '.join(model.refusals)}")
    if forest.n_features > MOST_VARIABLES:
        raise NetworkError(f"MVAUtils takes {MOST_VARIABLES} variables at most, the model has {forest.n_features}")
    largest = max(len(tree.order) for tree in forest.trees)
    if largest > MOST_NODES:
        raise NetworkError(f"MVAUtils takes {MOST_NODES} nodes a tree at most, the model has {largest}")
    combined = (forest.combine, forest.link)
    functions = {
        ("average", "identity"): "GetClassification",
        ("sum", "tanh"): "GetGradBoostMVA",
        ("sum", "sigmoid"): "GetClassification",
        ("sum", "identity"): "GetResponse",
        ("sum", "softmax"): f"GetMultiResponse with {len(forest.base)} classes",
    }
    regression = model.format == "TMVA" and model.after is not None and forest.combine == "average"
    if combined not in functions or regression:
        raise NetworkError(f"MVAUtils cannot apply the {forest.link} of the {forest.combine} of trees")
    return functions[combined]


def _names(model: ForestModel) -> list[str]:
    """Return the names for BDTHelper, which takes blanks away and splits at every comma."""
    given = model.record.get("variables", {}).get(model.input.name, ()) if model.format == "TMVA" else ()
    expressions = [str(entry["column"]) for entry in given] or list(model.input.names)
    made = []
    for name, expression in zip(model.input.names, expressions, strict=True):
        text = name if name == expression else f"{name} := {expression}"
        if "," in text or name.split() != [name] or ":=" in name:
            raise NetworkError(
                f"the variable {text!r} cannot stand in the list of names: BDTHelper splits it at commas",
                hint="rename it in the training: a column made by Define has a plain name",
            )
        made.append(text)
    return made


def _branches(forest: Forest, creator: str) -> list[VectorBranch]:
    features, values, lefts = [], [], []
    first: set[int] = set()
    for tree, group in zip(forest.trees, forest.group, strict=True):
        shift = 0.0
        if creator != "TMVA" and group not in first:  # MVAUtils has no start value
            shift = forest.base[group] * forest.slope
            first.add(group)
        scaled = tree.scaled(forest.slope, shift)
        order = np.array(_preorder(scaled, above_first=creator == "TMVA"))
        feature = scaled.feature[order]
        cut = scaled.cut[order]
        # LightGBM: true where x <= cut
        cut = -at_least(-np.nextafter(cut, -np.inf)) if creator == "lgbm" else at_least(cut)
        features.append(feature)
        with np.errstate(over="raise"):
            values.append(np.where(feature < 0, scaled.value[order], cut).astype(np.float32))
        lefts.append(scaled.missing_below[order] | (feature < 0))
    branches = [VectorBranch("vars", "i4", features), VectorBranch("values", "f4", values)]
    if creator == "TMVA":
        offsets = [np.array([weight]) for weight in forest.weights]
        return [VectorBranch("offset", "f4", offsets, single=True), *branches]
    return [*branches, VectorBranch("default_left", "?", lefts)]


def _preorder(tree: Tree, *, above_first: bool) -> list[int]:
    found, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        found.append(node)
        if tree.feature[node] >= 0:
            children = [int(tree.below[node]), int(tree.above[node])]
            waiting += children if above_first else children[::-1]
    return found


class MvaUtilsReader:
    """Athena's MVAUtils: forests as ROOT files, one output for each function that Athena could call."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell by the branches of the only tree."""
        return head.startswith(b"root") and _find(path) is not None

    @staticmethod
    def read(path: Path) -> MvaUtilsModel:
        """Open the forest; NetworkError where it is damaged."""
        import uproot

        try:
            with uproot.open(path) as file:
                tree = file[_find(path)]
                title, arrays = tree.title, tree.arrays(library="np")
                names = file[NAMES].member("fTitle") if NAMES in file else ""
        except Exception as error:  # whatever uproot meets in a damaged file
            raise NetworkError(f"the file of MVAUtils is damaged: {error}", where=str(path)) from error
        try:
            return _model(title, arrays, names)
        except NetworkError as error:
            raise error.but(where=str(path)) from None


def _find(path: Path) -> str | None:
    """Return the tree of a file of MVAUtils, None where it is another file."""
    import uproot

    try:
        with uproot.open(path) as file:
            trees = [name for name, kind in file.classnames(recursive=False).items() if kind == "TTree"]
            if len(trees) != 1:
                return None
            branches = {b.name: b.typename for b in file[trees[0]].branches}
            vectors = branches.get("vars"), branches.get("values")
            return trees[0] if vectors == ("std::vector<int32_t>", "std::vector<float>") else None
    except Exception:  # no ROOT file, or a damaged one: others say so
        return None


@dataclass(frozen=True, eq=False)
class MvaUtilsModel(Shown):
    """The forest of a file with one output for each function, all with the same input."""

    models: tuple[ForestModel, ...]
    format: str = "MVAUtils"

    @property
    def origin(self) -> str:
        """What made the trees."""
        return self.models[0].origin

    @property
    def inputs(self) -> tuple[InputNode, ...]:
        """The one input."""
        return self.models[0].inputs

    used_inputs = inputs

    @property
    def input_sequences(self) -> tuple[InputNode, ...]:
        """No sequences."""
        return ()

    used_sequences = input_sequences

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One output for each function."""
        return tuple(model.output for model in self.models)

    @property
    def record(self) -> Mapping[str, Any]:
        """What hepflow wrote down."""
        return self.models[0].record

    @property
    def n_parameters(self) -> int:
        """Number of cuts and leaves."""
        return self.models[0].n_parameters

    @property
    def graph(self) -> tuple[str, ...]:
        """Trees, and what each function does with them."""
        answers = [f"{model.output.name}: {model.forest.link} of the {model.forest.combine}" for model in self.models]
        return (self.models[0].graph[0], *answers)

    def sequence_of(self, output: Output) -> None:
        """Return None: a value for each object."""
        return

    def evaluate(
        self,
        inputs: Mapping[str, Any],
        sequences: Mapping[str, Any] | None = None,
        *,
        dtype: npt.DTypeLike | None = None,
    ) -> dict[str, npt.NDArray[np.floating]]:
        """Return the answers; see ``hepflow.protocols.Model``."""
        found: dict[str, npt.NDArray[np.floating]] = {}
        for model in self.models:
            found |= model.evaluate(inputs, sequences, dtype=dtype)
        return found


def _model(title: str, arrays: Mapping[str, Any], names: str) -> MvaUtilsModel:
    options: dict[str, str] = {}
    for part in filter(None, title.split(";")):
        key, _, value = part.partition("=")
        if key in options:
            raise NetworkError(f"the title of the tree says {key}= twice")
        options[key] = value
    creator = options.get("creator", "TMVA")
    creator = creator if creator in ("xgboost", "lgbm") else "TMVA"
    simple = creator == "lgbm" and options.get("node_type", "lgbm_simple") == "lgbm_simple"
    trees, lefts = [], arrays.get("default_left")
    if (creator != "TMVA" and not simple and lefts is None) or (creator == "TMVA" and "offset" not in arrays):
        raise NetworkError(f"a branch that files of {creator} have is missing")
    for number, (features, values) in enumerate(zip(arrays["vars"], arrays["values"], strict=True)):
        left = np.zeros(len(features), dtype=bool) if lefts is None else np.asarray(lefts[number], dtype=bool)
        trees.append(_tree(np.asarray(features), np.asarray(values), left, creator))
    described = read_description(options.get("hepflow", ""))
    n = max(int(tree.feature.max()) for tree in trees) + 1 if trees else 0
    listed = [part.strip() for part in re.split(r",(?![^()]*\))", names) if part.strip()]  # not at those of min(x,y)
    found = [part.partition(":=")[0].strip() for part in listed]
    if len(found) < n or len(set(found)) != len(found):
        found = [f"f{number}" for number in range(n)]
    weights = tuple(map(float, arrays["offset"])) if creator == "TMVA" else ()
    forest = Forest(len(found), tuple(trees), weights=weights)
    if creator == "TMVA":
        forms = {
            "GetGradBoostMVA": replace(forest, link="tanh"),
            "GetClassification": replace(forest, combine="average"),
            "GetResponse": replace(forest, base=(weights[0],)),
        }
    else:
        forms = {"GetClassification": replace(forest, link="sigmoid"), "GetResponse": forest}
    classes = len(described.labels) if len(described.labels) > 2 else int(options.get("num_class", "1") or 1)
    if classes > 1:
        forms = {"GetMultiResponse": replace(forest, link="softmax", base=(0.0,) * classes)}
    inputs = forest_input(found)
    labels = {name: described.labels or tuple(f"class_{k}" for k in range(classes)) for name in ("GetMultiResponse",)}
    return MvaUtilsModel(
        tuple(
            ForestModel(
                "MVAUtils", f"MVAUtils, {creator}", inputs, Output(name, 0, labels.get(name, (name,))), form,
                described.record, kind=np.float32,
            )
            for name, form in forms.items()
        )
    )  # fmt: skip


def _tree(features: npt.NDArray[Any], values: npt.NDArray[Any], left: npt.NDArray[np.bool_], creator: str) -> Tree:
    """Read one tree in preorder, the branch that is true first."""
    n = len(features)
    if not n or len(values) != n or len(left) != n:
        raise NetworkError("a tree of the file has no nodes, or not as many values")
    true, false = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    waiting: list[int] = []
    for node in range(n):
        if node:
            if not waiting:
                raise NetworkError("a tree of the file has nodes that nothing leads to")
            parent = waiting[-1]
            (true if true[parent] < 0 else false)[parent] = node
            if false[parent] >= 0:
                waiting.pop()
        if features[node] >= 0:
            waiting.append(node)
    if waiting:
        raise NetworkError("a tree of the file ends too early")
    cut = values.astype(np.float64)
    if creator == "TMVA":
        return Tree(features.astype(np.int64), cut, false, true, np.ones(n, dtype=bool), cut)
    cut = np.nextafter(cut, np.inf) if creator == "lgbm" else cut
    return Tree(features.astype(np.int64), cut, true, false, left, values.astype(np.float64))
