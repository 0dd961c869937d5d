"""TMVA's boosted decision trees: ``*.weights.xml`` of BDT methods, classification, multiclass and regression.

TMVA keeps cuts, answers and variables in float32 and adds in double precision (``TMVA::DecisionTreeNode``,
``TMVA::MethodBDT``); a variable equal to a cut is above it. Where something changes the answers that is not known here,
the file is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from hepflow.errors import NetworkError, PropertyError
from hepflow.expressions import Expression, qualified, quoted
from hepflow.expressions.syntax import UNITS
from hepflow.networks.graph import Output
from hepflow.plugins.trees.forest import Forest, ForestModel, Tree, forest_input
from hepflow.plugins.trees.transformations import Transformations, read_transformations
from hepflow.plugins.trees.xmltext import child, number, read_xml, whole

__all__ = ["TmvaReader"]

ANALYSES = ("Classification", "Multiclass", "Regression")
AVERAGED = ("AdaBoost", "RealAdaBoost", "Bagging", "AdaCost")
MISSING = -999.0
"""What ``TMVA::Reader::EvaluateMVA`` returns where a variable is NaN."""


class TmvaReader:
    """TMVA's boosted decision trees (*.weights.xml)."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell by the root of the XML; weight files before XML are recognised to be refused."""
        return re.search(rb"<(MethodSetup|!DOCTYPE\s+MethodSetup)|^#GEN -\*- *\S+ general info", head) is not None

    @staticmethod
    def read(path: Path) -> ForestModel:
        """Open the forest; NetworkError for other methods, and for what is not known to be evaluated rightly."""
        with path.open("rb") as file:
            if not re.match(rb"(\xef\xbb\xbf)?\s*<", file.read(64)):
                raise NetworkError(
                    "this is a weight file of TMVA before version 4, which had no XML",
                    where=str(path),
                    hint="train again with a TMVA that writes weights.xml",
                )
        try:
            return _model(read_xml(path))
        except NetworkError as error:
            raise error.but(where=error.where or str(path)) from error


def _model(root: Element) -> ForestModel:
    method, _, title = root.get("Method", "").partition("::")
    if root.tag != "MethodSetup" or method != "BDT":
        raise NetworkError(
            f"the file holds the method {method or root.tag!r} of TMVA; boosted decision trees (BDT) are read"
        )
    options = {one.get("name", ""): (one.text or "").strip() for one in child(root, "Options").findall("Option")}
    info = {one.get("name", ""): one.get("value", "") for one in child(root, "GeneralInfo").findall("Info")}
    analysis = info.get("AnalysisType", "Classification")
    if analysis not in ANALYSES:
        raise NetworkError(f"the file is of the analysis type {analysis!r}", hint=f"known: {', '.join(ANALYSES)}")
    variables = _variables(root)
    names = [name for name, _, _ in variables]
    targets = [one.get("Expression", "") for one in root.findall("Targets/Target")]
    classes = [one.get("Name", "") for one in sorted(root.findall("Classes/Class"), key=lambda c: whole(c, "Index"))]
    changes = read_transformations(root.find("Transformations"), [text for _, text, _ in variables], targets)
    weights = child(root, "Weights")
    boost = _boost(options, analysis)
    labels = {"Classification": ("score",), "Multiclass": tuple(classes), "Regression": tuple(targets)}[analysis]
    if analysis == "Regression" and len(targets) != 1:
        raise NetworkError(f"the file has {len(targets)} targets: boosted decision trees of TMVA have one")
    forest = _forest(weights, len(names), boost, analysis, options, len(classes))
    selects = analysis == "Classification" and _true(options, "DoPreselection", default=False)
    decide = _preselection(weights, len(names)) if selects else None
    return ForestModel(
        "TMVA",
        f"TMVA {info.get('TMVA Release', '').partition(' ')[0]}".strip(),
        forest_input(names),
        Output(title or "BDT", 0, labels),
        forest,
        {"variables": {"variables": [_recipe(*one) for one in variables]}},
        changes.steps,
        decide,
        _after(changes, single=analysis != "Classification"),
        MISSING if analysis == "Classification" else None,
        np.float64 if analysis == "Classification" else np.float32,
        _facts(title, analysis, boost, changes, root),
        _refusals(changes, forest, decide is not None),
    )


def _boost(options: Mapping[str, str], analysis: str) -> str:
    """Return the boosting; NetworkError where it is none that is known for this analysis."""
    boost = options.get("BoostType", "AdaBoostR2" if analysis == "Regression" else "AdaBoost")
    known = {"Classification": (*AVERAGED, "Grad"), "Multiclass": ("Grad",)}
    allowed = known.get(analysis, ("Grad", "AdaBoostR2", "Bagging"))
    if boost not in allowed:
        raise NetworkError(
            f"the boosting {boost!r} is not known for {analysis.lower()}", hint=f"known: {', '.join(allowed)}"
        )
    if _true(options, "RenormByClass", default=False):
        raise NetworkError("the option RenormByClass is not known here", hint="TMVA 4.2 has dropped it")
    if boost in AVERAGED and not _true(options, "UseWeightedTrees", default=True):
        raise NetworkError(
            "the trees count alike (UseWeightedTrees=False), which TMVA since 4.2 overlooks: versions differ"
        )
    return boost


def _true(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a switch of the options."""
    text = options.get(name, str(default)).lower()
    if text not in ("true", "false", "1", "0", "t", "f"):
        raise NetworkError(f"the option {name} is {text!r}, neither True nor False")
    return text in ("true", "1", "t")


def _votes(options: Mapping[str, str], boost: str) -> bool:
    """Tell whether a leaf answers with its type and not with its purity, which two boostings always do."""
    pure = boost in ("RealAdaBoost", "AdaCost")
    votes = _true(options, "UseYesNoLeaf", default=not pure)
    if votes and pure:
        raise NetworkError(f"{boost} has no leaves that say yes or no (UseYesNoLeaf=True): versions of TMVA differ")
    return votes


def _variables(root: Element) -> list[tuple[str, str, str]]:
    """Return (name, expression, unit) of the variables, in order."""
    group = child(root, "Variables")
    listed = sorted(group.findall("Variable"), key=lambda one: whole(one, "VarIndex"))
    if [whole(one, "VarIndex") for one in listed] != list(range(whole(group, "NVar"))):
        raise NetworkError(f"the file names {len(listed)} variables, it should name {group.get('NVar')}")
    found = []
    for one in listed:
        expression = one.get("Expression") or one.get("Internal") or ""
        found.append((one.get("Label") or expression, expression, one.get("Unit", "")))
    return found


_OF_ROOT = re.compile(
    r"\bTMath::(Abs|Min|Max|Sqrt|Exp|Log|Log10|Floor|Ceil|Hypot|A?(?:Sin|Cos|Tan)|ATan2|(?:Sin|Cos|Tan)H)(?=\s*\()"
    r"|\bfabs(?=\s*\()"
)


_RANKED = re.compile(r"[=!<>]=|<<|>>|(?<!&)&(?!&)|(?<!\|)\|(?!\|)|<|>")


def _means_the_same(expression: str) -> bool:
    """Tell whether an expression, where hepflow takes it, means in ROOT what it means here: there % is of whole
    numbers, comparisons are no chains (``-2 < x < 2`` is always 1), and bits come after comparisons.
    """
    if "%" in expression or "//" in expression:
        return False
    text = f"({expression})"
    while found := re.search(r"[(\[]([^()\[\]]*)[)\]]", text):
        if any(len(_RANKED.findall(part)) > 1 for part in re.split(r"&&|\|\||,|\band\b|\bor\b", found[1])):
            return False
        text = f"{text[: found.start()]} x {text[found.end() :]}"
    return True


def _recipe(name: str, expression: str, unit: str) -> dict[str, Any]:
    """Return where a variable comes from: a column, or its expression where hepflow can calculate it; else a column
    that is called like the expression, which the decorator's ``Variables`` replaces.
    """
    words = set(re.findall(r"[A-Za-z_]\w*", expression))
    if not expression.isidentifier() and not words & UNITS.keys() and _means_the_same(expression):
        written = _OF_ROOT.sub(lambda found: (found[1] or "abs").lower(), expression)
        try:
            Expression(qualified(written, "x.{}".format))
            return {"name": name, "column": written, "unit": unit}
        except PropertyError:
            pass
    column = expression if expression.isidentifier() else quoted(expression)
    return {"name": name, "column": column, "unit": unit}


def _forest(weights: Element, n: int, boost: str, analysis: str, options: Mapping[str, str], n_classes: int) -> Forest:
    listed = weights.findall("BinaryTree")
    if len(listed) != whole(weights, "NTrees"):
        raise NetworkError(
            f"the file has {len(listed)} trees, it should have {weights.get('NTrees')}", hint="is it a whole copy?"
        )
    if any(one.get("type", "DecisionTree") != "DecisionTree" for one in listed):
        raise NetworkError(f"the file has trees of the type {listed[0].get('type')!r}")
    numbers = [whole(one, "itree", place) for place, one in enumerate(listed)]
    if sorted(numbers) != list(range(len(listed))):
        raise NetworkError("the trees are not numbered one by one")
    kind = whole(weights, "AnalysisType") if weights.get("AnalysisType") else whole(weights, "TreeType", 0)
    if kind not in (0, 1):
        raise NetworkError(f"the trees are of the analysis type {kind}; 0 and 1 are known")
    leaf = "res" if kind == 1 else "nType" if boost in AVERAGED and _votes(options, boost) else "purity"
    if analysis == "Regression" and kind != 1:
        raise NetworkError("the file is of a regression, its trees are not")
    linear: list[npt.NDArray[np.float64]] = []
    # the order of the file is the order in TMVA
    trees = tuple(_tree(child(one, "Node"), n, leaf, linear) for one in listed)
    boosts = tuple(float(np.float32(number(one, "boostWeight"))) for one in listed)
    common: dict[str, Any] = {"linear": np.array(linear).reshape(len(linear), n + 1)}
    if boost == "Grad":
        if analysis == "Multiclass":
            if n_classes < 2 or len(trees) % n_classes:
                raise NetworkError(f"{len(trees)} trees cannot be divided among {n_classes} classes")
            return Forest(n, trees, link="softmax", base=(0.0,) * n_classes, weights=boosts, **common)
        if analysis == "Classification":
            return Forest(n, trees, link="tanh", weights=boosts, **common)
        return Forest(n, trees, base=(boosts[0],), weights=boosts, **common)
    return Forest(n, trees, "median" if boost == "AdaBoostR2" else "average", weights=boosts, **common)


def _tree(root: Element, n: int, leaf: str, linear: list[npt.NDArray[np.float64]]) -> Tree:
    """Read one tree: a cut that selects (cType 1) has the right child above it, another one the left."""
    columns: dict[str, list[Any]] = {key: [] for key in ("feature", "cut", "below", "above", "value")}
    waiting: list[tuple[Element, str, int]] = [(root, "", -1)]
    while waiting:
        node, side, parent = waiting.pop()
        place = len(columns["cut"])
        if side:
            columns[side][parent] = place
        inner = whole(node, "nType") == 0
        cut = float(np.float32(number(node, "Cut")))
        feature = -1
        children = {one.get("pos"): one for one in node.findall("Node")}
        if inner:
            feature, cut = _cut(node, n, cut, linear)
            if set(children) != {"l", "r"}:
                raise NetworkError("a node with a cut lacks a child", hint="is the file whole?")
            selects = whole(node, "cType")
            if selects not in (0, 1):
                raise NetworkError(f"a node has cType {selects}; 0 and 1 are known")
            waiting.append((children["r" if selects else "l"], "above", place))
            waiting.append((children["l" if selects else "r"], "below", place))
        for key, value in (("feature", feature), ("cut", cut), ("below", -1), ("above", -1)):
            columns[key].append(value)
        columns["value"].append(0.0 if inner else _value(node, leaf))
    arrays = {key: np.array(held) for key, held in columns.items()}
    missing = np.ones(len(arrays["cut"]), dtype=np.bool_)
    return Tree(arrays["feature"], arrays["cut"], arrays["below"], arrays["above"], missing, arrays["value"])


def _cut(node: Element, n: int, cut: float, linear: list[npt.NDArray[np.float64]]) -> tuple[int, float]:
    """Return the variable of a node and its cut; of a Fisher node, the linear combination added to ``linear``."""
    count = whole(node, "NCoef", 0)
    if count == 0:
        feature = whole(node, "IVar")
        if not 0 <= feature < n:
            raise NetworkError(f"a node cuts on variable {feature}, the file has {n}")
        return feature, cut
    coefficients = np.array([number(node, f"fC{place}") for place in range(count)])
    if count != n + 1 or not np.isfinite(coefficients).all():
        raise NetworkError(f"a Fisher node has {count} coefficients for {n} variables")
    linear.append(np.concatenate((coefficients[-1:], coefficients[:-1])))
    return n + len(linear) - 1, float(np.nextafter(cut, np.inf))  # a Fisher cut is passed above it only


def _value(node: Element, leaf: str) -> float:
    if leaf == "purity" and node.get("purity") is None:
        signal, background = (float(np.float32(number(node, key))) for key in ("nS", "nB"))
        if not signal + background > 0:
            raise NetworkError("a leaf has neither purity nor events")
        return float(np.float32(signal / (signal + background)))
    return float(np.float32(number(node, leaf)))


_SIDES = (("LowBkg", -1.0, False), ("LowSig", 1.0, False), ("HighBkg", -1.0, True), ("HighSig", 1.0, True))


def _preselection(weights: Element, n: int) -> Callable[[npt.NDArray[Any], npt.NDArray[Any]], Any] | None:
    """Return what DoPreselection decides before any tree is asked; the last variable that fires wins."""
    rules: list[tuple[int, bool, float, float]] = []
    for variable in range(n):
        for side, answer, above in _SIDES:
            key = f"Preselection{side}Var{variable}"
            if weights.get(key, "0").lower() in ("1", "true"):
                rules.append((variable, above, number(weights, f"{key}Value"), answer))
    if not rules:
        return None

    def decide(rows: npt.NDArray[Any], answers: npt.NDArray[Any]) -> Any:
        found = answers.copy()
        for variable, above, value, answer in rules:
            column = rows[:, variable].astype(np.float32).astype(np.float64)
            found[column > value if above else column < value] = answer
        return found

    return decide


def _after(changes: Transformations, *, single: bool) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None:
    """Return what happens to the answers: those of regressions and multiclass files are float32, targets are
    transformed back.
    """
    if not single:
        return None

    def after(answers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        answers = answers.astype(np.float32)
        for step in changes.after:
            answers = step(answers)
        return answers

    return after


def _facts(title: str, analysis: str, boost: str, changes: Transformations, root: Element) -> tuple[str, ...]:
    facts = [f"method {title}: {analysis.lower()}, {boost}"]
    if changes.names:
        facts.append(f"variables are transformed first: {', '.join(changes.names)}")
    spectators = [one.get("Expression", "") for one in root.findall("Spectators/Spectator")]
    if spectators:
        facts.append(f"spectators, not used: {', '.join(spectators)}")
    return tuple(facts)


def _refusals(changes: Transformations, forest: Forest, selects: bool) -> tuple[str, ...]:
    found = [f"the transformation {name}" for name in changes.names]
    if forest.combine == "median":
        found.append("the weighted median of AdaBoostR2")
    if len(forest.linear):
        found.append("Fisher cuts")
    return (*found, "the preselection") if selects else tuple(found)
