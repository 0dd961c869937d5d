"""Expressions, cuts and weights: what the text means, and what it refuses."""

from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hepflow import Events
from hepflow.context import Sample
from hepflow.errors import ColumnError, HepflowError, PropertyError
from hepflow.events import Column, Scope
from hepflow.expressions import Cut, Expression, Weight, common_container, qualified, quoted
from hepflow.properties import Configurable, Property

PT = ak.Array([[20e3, 50e3], [], [10e3]])
EVENTS = {
    "TauJets.pt": PT,
    "TauJets.eta": ak.Array([[-1.4, 0.5], [], [2.0]]),
    "TauJets.nTracks": ak.Array([np.array([1, 3], np.uint8), np.array([], np.uint8), np.array([2], np.uint8)]),
    "TauJets.isTauFlags": ak.Array([[0b101, 0b1], [], [0b100]]),
    "EventInfo.mu": np.array([30.0, 40.0, 50.0]),
    "EventInfo.mcEventWeights": ak.Array([[2.0, 9.0], [3.0], []]),
}


@pytest.fixture
def events():
    return Events.from_arrays(EVENTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TauJets.pt / 1000", [20, 50, 10]),
        ("-TauJets.pt + 2 * TauJets.pt", [20e3, 50e3, 10e3]),
        ("abs(TauJets.eta)", [1.4, 0.5, 2.0]),
        ("log10(max(TauJets.pt, 2e4))", np.log10([2e4, 5e4, 2e4])),
        ("TauJets.pt * EventInfo.mu", [6e5, 15e5, 5e5]),
        ("EventInfo.mu", [30, 40, 50]),
        ("EventInfo.mcEventWeights[0] + 0 * TauJets.pt", [2, 2, np.nan]),
        ("TauJets.nTracks - 3", [-2, 0, -1]),
        ("where(TauJets.nTracks == 1, 1, 3)", [1, 3, 3]),
        ("TauJets.nTracks % 2 + TauJets.nTracks // 2 ** 1", [1, 2, 1]),
        ("TauJets.pt / (TauJets.nTracks - 1)", [np.inf, 25e3, 10e3]),
        ("atan2(TauJets.eta, 1 - TauJets.nTracks)", [-1.5707963268, 2.8966139905, 2.0344439358]),
        ("floor(TauJets.eta) + ceil(TauJets.eta / 4) * 10 + floor(TauJets.nTracks)", [-1, 13, 14]),
        ("acos(cos(TauJets.eta)) + atan(tan(asin(sin(0.5))))", [1.9, 1, 2.5]),
        ("TauJets.isTauFlags & 4", [4, 0, 4]),
        ("1 << TauJets.nTracks", [2, 8, 4]),
        ("sum(TauJets.pt)", [70e3, 0, 10e3]),
        ("TauJets.pt / max(TauJets.pt)", [0.4, 1, 1]),
        ("len(TauJets.pt)", [2, 0, 1]),
        ("len(EventInfo.mcEventWeights) + 0 * TauJets.nTracks", [2, 2, 0]),
        ("max(EventInfo.mcEventWeights)", [9, 3, np.nan]),
        ("mean(EventInfo.mcEventWeights)", [5.5, 3, np.nan]),
        ("EventInfo.mcEventWeights[-1]", [9, 3, np.nan]),
        ("last(TauJets.nTracks) - first(TauJets.nTracks)", [2, np.nan, 0]),
        ("sum(EventInfo.mcEventWeights * EventInfo.mu)", [330, 120, 0]),
        ("sum(abs(TauJets.eta) > 1)", [1, 0, 1]),
        ("`TauJets.pt` / TauJets.`nTracks`", [20e3, 5e4 / 3, 5e3]),
        ("((2 or TauJets.pt) and TauJets.nTracks > 1) + EventInfo.mu", [30, 31, 51]),
        ("(TauJets.nTracks > 1) ** 2 ** 63", [0, 1, 1]),
    ],
)
def test_values(events, text, expected):
    np.testing.assert_allclose(Expression(text)(events), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [1, 1, 1]),
        ("TauJets.pt > 15000", [1, 1, 0]),
        ("15000 < TauJets.pt < 30000", [1, 0, 0]),
        ("TauJets.pt > 15000 and not abs(TauJets.eta) < 1", [1, 0, 0]),
        ("TauJets.pt > 15000 && !(TauJets.nTracks != 1)", [1, 0, 0]),
        ("(TauJets.pt > 15000) & ~(TauJets.nTracks == 3)", [1, 0, 0]),
        ("TauJets.pt < 15000 || TauJets.nTracks == 3", [0, 1, 1]),
        ("TauJets.nTracks in (1, 2)", [1, 0, 1]),
        ("TauJets.nTracks not in (1, 2)", [0, 1, 0]),
        ("EventInfo.mu > 35 and TauJets.pt > 0", [0, 0, 1]),
        ("TauJets.isTauFlags & 1", [1, 1, 0]),
        ("(TauJets.isTauFlags & 1) == 1 and TauJets.pt > 3e4", [0, 1, 0]),
        ("any(EventInfo.mcEventWeights > 5)", [1, 1, 0]),
        ("all(EventInfo.mcEventWeights > 2.5)", [0, 0, 1]),
        ("-TauJets.eta ** 2 < -3", [0, 0, 1]),
    ],
)
def test_cuts(events, text, expected):
    np.testing.assert_array_equal(Cut(text)(events, "TauJets"), np.array(expected, bool))


def test_the_label_of_a_combined_cut_stays_with_it():
    low, one = Cut("TauJets.pt > 15000", "pt > 15 GeV"), Cut("TauJets.nTracks == 1", "one prong")
    good = (low & one).labelled("good")
    central = Cut("abs(TauJets.eta) < 1", "central")
    assert (good & central).label == "good, central"
    assert (central & good).label == "central, good"
    assert (central & one & good).label == "central, one prong, pt > 15 GeV", "what is new in it, part by part"
    assert (good & low).label == "good", "nothing new"
    assert (good & Cut()).label == (Cut() & good).label == "good"


def test_cuts_combine(events):
    low, one = Cut("TauJets.pt > 15000", "pt > 15 GeV"), Cut("TauJets.nTracks == 1", "one prong")
    both = low & one
    assert both.label == "pt > 15 GeV, one prong"
    assert both.columns == ("TauJets.pt", "TauJets.nTracks")
    np.testing.assert_array_equal(both(events), [True, False, False])
    np.testing.assert_array_equal((low | ~one)(events), [True, True, True])
    assert Cut() & low == low
    assert low & low == low
    assert Cut() & Cut() == Cut()
    again = pickle.loads(pickle.dumps(both))
    assert again == both
    assert again.parts == (low, one)


def test_weights_multiply(events):
    weight = Weight() * Weight("EventInfo.mu") * Weight("2")
    np.testing.assert_allclose(weight(events, "TauJets"), [60, 60, 100])
    assert Weight().trivial
    assert not weight.trivial
    np.testing.assert_array_equal(Weight()(events, "TauJets"), [1, 1, 1])


def test_what_is_shared_changes_with_selections_and_columns(events):
    cut = Cut("TauJets.pt > 15000")
    assert cut(events) is cut(events)
    events.select("TauJets", cut(events), "pt")
    np.testing.assert_array_equal(cut(events), [True, True])
    events["TauJets"]["pt"] = np.array([1.0, 2.0])
    np.testing.assert_array_equal(cut(events), [False, False])


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=5))
def test_values_of_parent_and_event_are_repeated(tracks):
    """tracks[event][tau] is a number of tracks; every track gets its tau's and its event's number."""
    taus = [list(range(len(event))) for event in tracks]
    # one more event fixes the type
    events = Events.from_arrays(
        {"TauJets.n": ak.Array([*taus, [7]]), "EventInfo.n": np.arange(len(tracks) + 1, dtype=float)}
    )
    counts = [n for event in [*tracks, [1]] for n in event]
    events.add("TauTrack", {"x": np.zeros(sum(counts))}, counts=counts, parent="TauJets")
    wanted = [
        100 * number + tau
        for number, event in enumerate([*tracks, [1]])
        for tau, n in enumerate(event)
        for _ in range(n)
    ]
    if tracks:
        wanted[-1] = 100 * len(tracks) + 7
    np.testing.assert_array_equal(Expression("TauTrack.x + TauJets.n + 100 * EventInfo.n")(events), wanted)


def test_one_container_with_objects_at_most(events):
    events.add("Jets", {"pt": ak.Array([[1.0], [], []])})
    with pytest.raises(ColumnError, match="TauJets and Jets have objects of their own"):
        Expression("TauJets.pt + Jets.pt")(events)
    assert common_container(events, Expression("EventInfo.mu"), Cut("Jets.pt > 1")) == "Jets"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pt > 20", "as in TauJets.pt"),
        ("TauJets.pt >", "no expression"),
        ("sqt(TauJets.pt)", "did you mean 'sqrt'"),
        ("max(TauJets.pt, 1, 2)", "max takes 1 or 2 arguments"),
        ("TauJets.q ^ 2", "a power is written **"),
        ("TauJets.q = 2", "a comparison is written =="),
        ("TauJets.q > 1 ? 2 : 3", "where(condition, value, otherwise)"),
        ("tree.jet-pt > 2", "`tree.jet-pt`"),
        ("tree.mass(GeV) > 2", "`tree.mass(…)`"),
        ("`tree.a", "ends with `"),
        ("TauJets.a == 1 & TauJets.q > 0", "write 'and' between conditions"),
        ("TauJets.a == 3 | TauJets.q == -1", "write 'or' between conditions"),
        ("TauJets.isTauFlags & 1 == 1", "put (TauJets.isTauFlags & 1) in parentheses"),
        ("!TauJets.a == TauJets.b", "not (TauJets.a == …)"),
        ("18446744073709551616 > TauJets.a", "does not fit into 64 bits"),
        ("-9223372036854775809 < TauJets.a", "does not fit into 64 bits"),
        ("(" * 70 + "1" + ")" * 70, "nested more than"),
        ("TauJets.tauTrackLinks->pt", "where the link TauJets.tauTrackLinks leads"),
        ("TauJets.pt.x", "nothing that an expression can hold"),
        ("__import__('os').system('ls')", "no expression"),
        ("__import__(1).system(2)", "there is no function"),
        ("fabs(TauJets.pt)", "abs(x)"),
        ("pow(TauJets.pt, 2)", "x ** y"),
        ("TMath::Abs(TauJets.pt)", "TMath::Abs(x) is written abs(x)"),
        ("Sum$(TauJets.pt)", "Sum$(x) is written sum(x)"),
        ("TauJets.pt > 30 GeV", "write 30*GeV"),
        ("TauJets.pt > 30GeV", "write 30*GeV"),
        ("TauJets.pt if TauJets.pt else 1", "cannot stand behind"),
        ("TauJets.pt[TauJets.x]", "Container.column[number]"),
        ("TauJets.n in 3", "in (1, 3)"),
        ("TauJets.n in (1, TauJets.m)", "in (1, 3)"),
        ("(1, 2)", "cannot stand behind"),
        ("'text'", "no expression"),
        ("", "missing at its end"),
    ],
)
def test_text_that_is_no_expression(text, message):
    with pytest.raises(PropertyError) as error:
        Expression(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda e: Cut("TauJets.pt & TauJets.eta")(e), "write 'and' between conditions"),
        (lambda e: Cut("(TauJets.pt > 1) & TauJets.nTracks")(e), "write 'and' between conditions"),
        (lambda e: Expression("TauJets.pt << 3")(e), "shift whole numbers"),
        (lambda e: Expression("sum(EventInfo.mu)")(e), "one number an event"),
        (lambda e: Cut("TauJets.pt")(e), "is no cut"),
        (lambda e: Expression("EventInfo.mcEventWeights + 1")(e), "[0] for the first"),
        (lambda e: Expression("EventInfo.mu[0]")(e), "no elements"),
        (lambda e: Expression("TauJets.x")(e), "TauJets.x"),
    ],
)
def test_what_does_not_fit_the_events(events, make, message):
    with pytest.raises(HepflowError) as error:
        make(events)
    assert message in str(error.value)


def test_a_property_takes_text():
    class Thing(Configurable):
        Selection = Property(Cut(), "what is selected")
        Weight = Property(None, "a weight", type=Weight)

    thing = Thing("thing", Selection="TauJets.pt > 1", Weight="EventInfo.w")
    assert thing.Selection == Cut("TauJets.pt > 1")
    assert Thing.properties()["Weight"].parse("EventInfo.w") == thing.Weight
    with pytest.raises(PropertyError, match=r"as in TauJets\.pt"):
        thing.Selection = "pt > 1"
    with pytest.raises(PropertyError, match="wants Cut"):
        thing.Selection = 3


# ── numbers are right ────────────────────────────────────────────────────────────────────────────────────────────────

INT64, UINT64 = st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1)
EDGES = st.sampled_from([0, 1, 2, 3, 63, 64, 50000, 2**31, 2**53 + 1, 2**62, 2**63 - 1])
WHOLE = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b if b else None,
    "%": lambda a, b: a % b if b else None,
    "**": lambda a, b: a**b if abs(a) < 2 or b <= 64 else 2**999,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "<<": lambda a, b: a << b if b <= 64 or not a else 2**999,
    ">>": lambda a, b: a >> b,
}
SIGNS = ["<", "<=", ">", ">=", "==", "!="]


def value(text, kind=Expression, **columns):
    """Return what an expression of columns of T gives, as a list; the columns are those of one event."""
    events = Events.from_arrays({f"T.{name}": ak.Array(values[np.newaxis]) for name, values in columns.items()})
    return kind(text)(events).tolist()


def whole_or_refused(text, wanted, **columns):
    """Check that an expression of whole numbers is exact, or refused because it does not fit."""
    fits = all(w is not None and -(2**63) <= w < 2**63 for w in wanted)
    try:
        found = value(text, **columns)
    except ColumnError as error:
        refused = str(error)
    else:
        assert [None if v != v else v for v in found] == wanted
        return
    assert not fits
    assert "do not fit into 64 bits" in refused or "too large" in refused


@given(st.lists(st.tuples(INT64 | EDGES, INT64 | EDGES), min_size=1, max_size=4), st.sampled_from(sorted(WHOLE)))
@example([(50000, 50000)], "*")
@example([(-(2**63), -1), (7, 0)], "//")
def test_whole_numbers_are_exact_or_refused(pairs, sign):
    pairs = [(a, abs(b) % 100) if sign in ("**", "<<", ">>") else (a, b) for a, b in pairs]
    a, b = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    whole_or_refused(f"T.a {sign} T.b", [WHOLE[sign](x, y) for x, y in pairs], a=a, b=b)
    whole_or_refused(f"({pairs[0][0]}) {sign} T.b", [WHOLE[sign](pairs[0][0], y) for _, y in pairs], b=b)
    if sign != "**" or pairs[0][1] >= 0:
        whole_or_refused(f"T.a {sign} {pairs[0][1]}", [WHOLE[sign](x, pairs[0][1]) for x, _ in pairs], a=a)


@given(
    st.lists(st.tuples(UINT64, INT64 | EDGES), min_size=1, max_size=4), st.sampled_from(["+", "-", "*", "//", "%", "&"])
)
def test_unsigned_numbers_are_exact_or_refused(pairs, sign):
    a, b = np.array([a for a, _ in pairs], np.uint64), np.array([b for _, b in pairs], np.int64)
    whole_or_refused(f"T.a {sign} T.b", [WHOLE[sign](x, y) for x, y in pairs], a=a, b=b)
    whole_or_refused(f"T.b {sign} T.a", [WHOLE[sign](y, x) for x, y in pairs], a=a, b=b)
    number = abs(pairs[0][1])
    wanted = [WHOLE[sign](x, number) for x, _ in pairs]
    whole_or_refused(f"T.a {sign} {number}", wanted, a=a)
    if sign in ("//", "%", "&") and number:
        assert value(f"T.a {sign} {number}", a=a) == wanted


@given(
    st.lists(
        st.tuples(INT64 | EDGES, UINT64 | EDGES, st.floats(allow_nan=False) | EDGES.map(float)), min_size=1, max_size=3
    ),
    st.sampled_from(SIGNS),
    st.integers(-(2**63), 2**64 - 1),
)
@example([(2**53 + 1, 2**63 + 1, 2.0**53)], "==", 2**63 + 1)
def test_comparisons_are_exact(rows, sign, number):
    i, u, f = zip(*rows, strict=True)
    columns = {"i": np.array(i, np.int64), "u": np.array(u, np.uint64), "f": np.array(f, np.float64)}

    def exact(left, right):
        return [eval(f"x {sign} y", {"x": x, "y": y}) for x, y in zip(left, right, strict=True)]

    for left, right in (("i", "u"), ("u", "i"), ("i", "f"), ("f", "u")):
        wanted = exact(*({"i": i, "u": u, "f": f}[name] for name in (left, right)))
        assert value(f"T.{left} {sign} T.{right}", Cut, **columns) == wanted
    for name, values in (("i", i), ("u", u), ("f", f)):
        assert value(f"T.{name} {sign} ({number})", Cut, **columns) == exact(values, [number] * len(rows))
    assert value(f"T.u in ({number}, {u[0]})", Cut, **columns) == [x in (number, u[0]) for x in u]
    assert value(f"T.i in ({number}, {i[0]})", Cut, **columns) == [x in (number, i[0]) for x in i]


@given(st.lists(INT64 | EDGES, max_size=4), st.lists(INT64, max_size=3))
def test_sums_of_whole_numbers(first, second):
    events = Events.from_arrays({"T.x": ak.values_astype(ak.Array([first, second, [1]]), np.int64)})
    wanted = [sum(first), sum(second), 1]
    try:
        assert Expression("sum(T.x)")(events).tolist() == wanted
    except ColumnError:
        assert any(not -(2**63) <= total < 2**63 for total in wanted)
    np.testing.assert_array_equal(Cut("max(T.x) >= min(T.x)").missing(events), [not first, not second, False])


def test_whole_numbers_keep_their_type():
    big, event = np.array([2**53 + 1, 2**62], np.int64), np.array([2**64 - 1, 2**63 + 1], np.uint64)
    assert value("where(T.n > 0, T.n, 0)", n=big) == value("max(T.n, 0)", n=big) == big.tolist()
    assert value("T.e % 2", e=event) == [1, 1]
    assert value("min(T.e, 2**63)", e=event) == [2**63, 2**63]
    assert value("abs(T.e)", e=event) == event.tolist()
    assert value("abs(T.n)", n=np.array([-(2**31)], np.int32)) == [2**31]
    assert value("-T.n", n=np.array([-128], np.int8)) == [128]
    for text in ("abs(T.n)", "-T.n", "T.n - 1", "T.n // -1", "T.n ** 3", "T.n << 1"):
        with pytest.raises(ColumnError, match="do not fit into 64 bits"):
            value(text, n=np.array([-(2**63)], np.int64))
    lists = Events.from_arrays({"T.x": ak.Array([[[2**53 + 1], [2**53 + 3, 1]]])})
    assert Expression("T.x[0]")(lists).tolist() == [2**53 + 1, 2**53 + 3]
    assert Cut("T.x[1] == 1")(lists).tolist() == [False, True]
    with pytest.raises(ColumnError, match="too large for others"):
        Expression("T.x[1] + T.x[0]")(lists)


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=4), st.floats(-10, 10))
@example([np.float32(0.1).item()], 0.1)
def test_columns_of_32_bits_are_compared_as_such(values, number):
    column = np.array(values, np.float32)
    for sign in SIGNS:
        wanted = eval(f"x {sign} y", {"x": column, "y": np.float32(number)}).tolist()
        assert value(f"T.x {sign} {number!r}", Cut, x=column) == wanted
    assert value(f"T.x in ({number!r}, 99)", Cut, x=column) == (column == np.float32(number)).tolist()
    assert value(f"where(T.x == {number!r}, T.x, {number!r}) == {number!r}", Cut, x=column) == [True] * len(values)


# ── what is missing ──────────────────────────────────────────────────────────────────────────────────────────────────

UNKNOWN = {"true": "T.one == 1", "false": "T.one == 2", "missing": "T.nan > 0"}
KLEENE = {"true": True, "false": False, "missing": None}


@given(
    st.recursive(
        st.sampled_from(sorted(UNKNOWN)),
        lambda inner: st.tuples(st.sampled_from(["and", "or", "not"]), inner, inner),
        max_leaves=6,
    )
)
def test_conditions_have_three_values(tree):
    def text(part):
        if isinstance(part, str):
            return f"({UNKNOWN[part]})"
        word, left, right = part
        return f"(not {text(left)})" if word == "not" else f"({text(left)} {word} {text(right)})"

    def known(part):
        if isinstance(part, str):
            return KLEENE[part]
        word, left, right = part[0], known(part[1]), known(part[2])
        if word == "not":
            return None if left is None else not left
        decisive = word == "or"
        return decisive if decisive in (left, right) else None if None in (left, right) else not decisive

    events = Events.from_arrays({"T.one": ak.Array([[1]]), "T.nan": ak.Array([[np.nan]])})
    cut = Cut(text(tree))
    assert (bool(cut(events)[0]), bool(cut.missing(events)[0])) == (known(tree) is True, known(tree) is None)
    assert bool((~cut)(events)[0]) == (known(tree) is False)


@pytest.mark.parametrize(
    "text",
    ["T.x != 0", "!(T.x == 0)", "T.x in (1, 2)", "T.x not in (1, 2)", "0 < T.x < 5", "where(T.x > 0, 1, 2) > 0",
     "T.n // T.z > 0", "T.n % T.z != 5", "T.n[5] != 0" , "abs(T.x) > -1", "max(T.x, 1) >= 1", "sum(T.x) > 0",
     "not any(T.x > 0)"],
)  # fmt: skip
def test_a_cut_on_a_missing_value_passes_neither_way(text):
    columns = {"x": ak.Array([[[np.nan], [1.0]]]) if "(T.x)" in text or "any" in text else ak.Array([[np.nan, 1.0]])}
    columns["n"] = ak.Array([[[7], [7] * 6]]) if "[5]" in text else ak.Array([[7, 7]])
    if "abs" in text:
        columns["x"] = ak.Array([[np.nan, 1.0]])
    events = Events.from_arrays(
        {**{f"T.{name}": values for name, values in columns.items()}, "T.z": ak.Array([[0, 2]])}
    )
    cut = Cut(text)
    assert not cut(events)[0]
    assert not (~cut)(events)[0]
    assert cut.missing(events).tolist() == [True, False]
    assert (cut | ~cut)(events).tolist() == [False, True]
    assert (Cut("isfinite(T.z)") & cut)(events).tolist() == cut(events).tolist()


def test_numbers_that_an_input_lacks_are_missing():
    gone = np.array([True, False])
    lists = ak.Array([[], [7, 8]])
    columns = {
        "T.n": Column(None, np.array([0, 2**60 + 1]), gone),
        "T.flag": Column(None, np.array([False, True]), gone),
        "T.list": Column(None, lists, gone),
    }
    events = Events(Scope.from_columns(columns, 2))
    for text in ("T.n >= 0", "T.n == 1152921504606846977", "T.flag", "len(T.list) >= 0", "sum(T.list) >= 0"):
        assert Cut(text)(events).tolist() == [False, True], text
        assert Cut(text).missing(events).tolist() == [True, False], text
    assert Expression("where(isfinite(T.n), T.n, 0)")(events).tolist() == [0, 2**60 + 1]


def test_isfinite_is_never_missing():
    columns = {"x": np.array([np.nan, np.inf, 1.0]), "n": np.array([1, 2, 3]), "z": np.array([0, 1, 2])}
    assert value("isfinite(T.x)", Cut, **columns) == [False, False, True]
    assert value("isfinite(T.n % T.z)", Cut, **columns) == [False, True, True]
    assert value("not isfinite(T.x) or T.x > 2", Cut, **columns) == [True, True, False]
    assert value("where(isfinite(T.n // T.z), T.n // T.z, -1)", **columns) == [-1, 2, 1]


# ── links and names ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_columns_of_linked_objects():
    events = Events.from_arrays(
        {
            "T.pt": ak.Array([[10.0, 20.0], [30.0]]),
            "K.pt": ak.Array([[1.0, 2.0, 3.0], [9.0]]),
            "K.n": ak.Array([[1, 2, 3], [4]]),
        }
    )
    events["T"]["links"] = events.link("K", ak.Array([[[0, 2], []], [[0]]]))
    events["T"]["best"] = events.link("K", ak.Array([[2, -1], [0]]))
    expected = {
        "sum(T.links->K.pt)": [4, 0, 9],
        "sum(T.links->K.n)": [4, 0, 4],
        "max(T.links->K.pt) / T.pt": [0.3, np.nan, 0.3],
        "len(T.links)": [2, 0, 1],
        "any(T.links->K.pt > 0.1 * T.pt)": [1, 0, 1],
        "T.links->K.pt[1]": [3, np.nan, np.nan],
        "T.best->K.pt": [3, np.nan, 9],
        "sum(T.best->K.pt)": [np.nan, 9],
    }
    for text, wanted in expected.items():
        np.testing.assert_allclose(Expression(text)(events).astype(float), wanted, err_msg=text)
    assert Expression("sum(T.links->K.n)")(events).dtype == np.int64
    assert Expression("sum(T.links->K.pt)").columns == ("T.links", "K.pt")
    with pytest.raises(ColumnError, match=r"follow them: sum\(T\.links->"):
        Expression("T.links + 1")(events)


def test_an_expression_of_the_event(events):
    assert common_container(events, Expression("sum(TauJets.pt > 15000)")) == ""
    assert common_container(events, Expression("sum(TauJets.pt)"), Expression("EventInfo.mu")) == "EventInfo"
    assert Cut("sum(TauJets.pt > 15000) >= 2")(events).tolist() == [True, False, False]
    assert Cut("TauJets.pt == max(TauJets.pt)")(events).tolist() == [False, True, True]
    with pytest.raises(ColumnError, match="one value for each of TauJets"):
        Expression("TauJets.pt")(events, "EventInfo")


def test_names_with_other_characters():
    names = ["jet-pt", "mass(GeV)", "1st", "class", "a b", "and && or", "x`y", "µ", "d.e"]
    events = Events.from_arrays({f"t.{name}": np.array([float(n)]) for n, name in enumerate(names)})
    for n, name in enumerate(names):
        expression = Expression(f"2 * {quoted(f't.{name}')} + 0")
        assert expression.columns == (f"t.{name}",)
        assert expression(events).tolist() == [2 * n], name
    assert quoted("t.class") == "t.class"
    assert Expression("t.`jet-pt`   +  `t.a  b`").text == "t.`jet-pt` + `t.a  b`"
    assert qualified("pt > 2*GeV and `jet-pt` in (1, 2) and max(eta, t.x) < 3", "T.{}".format) == (
        "T.pt > 2*GeV and `T.jet-pt` in (1, 2) and max(T.eta, t.x) < 3"
    )


# ── units ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("unit", "pt"), [("MeV", [20e3, 15e3, 1.5e6]), ("GeV", [20.0, 15.0, 1500.0])])
def test_units_mean_the_same_in_every_input(unit, pt):
    events = Events.from_arrays({"T.pt": ak.Array([pt])}, sample=Sample("s", energy_unit=unit))
    for text, wanted in {
        "T.pt / GeV": [20, 15, 1500],
        "T.pt / TeV": [0.02, 0.015, 1.5],
        "(T.pt / GeV)**2 - T.pt**2 / GeV**2": [0, 0, 0],
        "T.pt == 15000*MeV": [0, 1, 0],
        "T.pt >= 20*GeV": [1, 0, 1],
        "T.pt in (20*GeV, 1.5*TeV)": [1, 0, 1],
    }.items():
        assert Expression(text)(events).tolist() == wanted, text
    assert Expression("T.pt > 20*GeV + 5*MeV").units == ("GeV", "MeV")


def test_a_unit_needs_that_of_the_input(events):
    with pytest.raises(ColumnError, match="--units GeV or --units MeV"):
        Expression("TauJets.pt > 20*GeV")(events)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pt", "TauJets.pt"),
        ("TauTrack.pt", "TauTrack.pt"),
        ("pt > 2e4 and not abs(eta) < 1", "TauJets.pt > 2e4 and not abs(TauJets.eta) < 1"),
        ("(nTracks in (1, 3)) && !(EventInfo.mu>1E1)", "(TauJets.nTracks in (1, 3)) && !(EventInfo.mu>1E1)"),
        ("max (pt, TauJets.m) / pt_2", "max (TauJets.pt, TauJets.m) / TauJets.pt_2"),
        ("orange or inner", "TauJets.orange or TauJets.inner"),
        ("weights[0] * True", "TauJets.weights[0] * True"),
        ("", ""),
    ],
)
def test_names_without_container(text, expected):
    assert qualified(text, "TauJets.{}".format) == expected
