"""Events against a model in plain Python lists: selections, links, decorations and exports, in random order."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from itertools import pairwise

import awkward as ak
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepflow.events import Column, Events, Scope
from hepflow.events.export import event_column, object_column
from hepflow.events.layout import pack_links
from hepflow.events.links import container_id

TAUS, TRACKS = "TauJets", "TauTracks"
OTHER = -4711  # of a container that is not there
PARTS = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)


@dataclass
class Thing:
    """One object: its number, unique in the file, what it links to (numbers of tracks, None: null), decorations."""

    id: int
    links: list[int | None] = field(default_factory=list)
    one: int | None = None
    raw: list[tuple[int, int]] = field(default_factory=list)
    deco: dict[str, float] = field(default_factory=dict)
    subs: dict[str, list[int]] = field(default_factory=dict)
    visible: bool = True


@dataclass
class Event:
    number: int
    things: dict[str, list[Thing]]
    visible: bool = True


@dataclass
class Model:
    events: list[Event]

    def seen(self, container: str) -> list[list[Thing]]:
        return [[t for t in e.things[container] if t.visible] for e in self.events if e.visible]

    def flat(self, container: str) -> list[Thing]:
        return [thing for things in self.seen(container) for thing in things]


def make_model(sizes: list[tuple[int, int]], salt: int) -> Model:
    dice = random.Random(salt)
    number = iter(range(1, 10_000))
    model = Model([])
    for event, (n_taus, n_tracks) in enumerate(sizes):
        tracks = [Thing(next(number)) for _ in range(n_tracks)]
        taus = [Thing(next(number)) for _ in range(n_taus)]
        for tau in taus:
            for _ in range(dice.randrange(4)):
                tau.raw.append(dice.choice([(0, 0), (OTHER, 0), (container_id(TRACKS), n_tracks)]))
                tau.links.append(None)
                if tracks:
                    target = dice.randrange(n_tracks)
                    tau.raw.append((container_id(TRACKS), target))
                    tau.links.append(tracks[target].id)
            if tracks and dice.random() < 0.7:
                tau.one = dice.choice(tracks).id
        model.events.append(Event(1000 + event, {TAUS: taus, TRACKS: tracks}))
    return model


def columns_of(model: Model) -> dict[str, Column]:
    """The columns of the unselected model as a reader would give them."""
    columns = {"EventInfo.eventNumber": Column(None, np.array([e.number for e in model.events], dtype=np.uint64))}
    for container in (TAUS, TRACKS):
        counts = [len(e.things[container]) for e in model.events]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        things = [t for e in model.events for t in e.things[container]]
        columns[f"{container}.id"] = Column(offsets, np.array([t.id for t in things], dtype=np.int64))
        if container == TAUS:
            counts = np.array([len(t.raw) for t in things], dtype=np.int64)
            raw = [link for t in things for link in t.raw]
            columns[f"{TAUS}.links"] = Column(
                offsets, pack_links([counts], [key for key, _ in raw], [index for _, index in raw])
            )
            where = {t.id: i for e in model.events for i, t in enumerate(e.things[TRACKS])}
            ones = [(container_id(TRACKS), where[t.one]) if t.one else (0, 0) for t in things]
            columns[f"{TAUS}.one"] = Column(offsets, pack_links([], [k for k, _ in ones], [i for _, i in ones]))
            names = [f"tau {t.id}" for t in things]
            strings = ak.Array(names) if names else ak.Array(["x"])[:0]
            columns[f"{TAUS}.name"] = Column(offsets, strings)
    return columns


def events_of(model: Model) -> Events:
    return Events(Scope.from_columns(columns_of(model), len(model.events), seed=3))


# ── operations, on both ──────────────────────────────────────────────────────────────────────────────────────────────


def passes(salt: int, number: int) -> bool:
    return random.Random(salt * 100_003 + number).random() < 0.7


def select(model: Model, events: Events, salt: int) -> None:
    container = (TAUS, TRACKS)[salt % 2]
    mask = np.array([passes(salt, t.id) for t in model.flat(container)], dtype=bool)
    events.select(container, mask if salt % 3 else events[container].unflatten(mask), f"cut {salt}")
    for thing in model.flat(container):
        thing.visible = passes(salt, thing.id)


def select_events(model: Model, events: Events, salt: int) -> None:
    seen = [e for e in model.events if e.visible]
    events.select_events(np.array([passes(salt, e.number) for e in seen], dtype=bool), f"events {salt}")
    for event in seen:
        event.visible = passes(salt, event.number)


def decorate(model: Model, events: Events, salt: int) -> None:
    container, name = (TAUS, TRACKS)[salt % 2], f"deco{salt % 5}"
    for thing in model.flat(container):
        thing.deco[name] = thing.id * 0.5 + salt
    values = np.array([t.deco[name] for t in model.flat(container)])
    events[container][name] = values if salt % 3 else events[container].unflatten(values)


def relink(model: Model, events: Events, salt: int) -> None:
    """Replace the links by links to visible tracks, given by their position among these."""
    dice, indices = random.Random(salt), []
    for taus, tracks in zip(model.seen(TAUS), model.seen(TRACKS), strict=True):
        indices.append([])
        for tau in taus:
            chosen = [dice.randrange(-1, len(tracks)) for _ in range(dice.randrange(3))]
            tau.links = [tracks[i].id if i >= 0 else None for i in chosen]
            indices[-1].append(chosen)
    typed = ak.concatenate([ak.Array([[[0]]]), ak.Array(indices)])[1:]  # the type, also where all lists are empty
    events[TAUS]["links"] = events.link(TRACKS, typed)


def add_subs(model: Model, events: Events, salt: int) -> None:
    name = f"Sub{salt}"
    if events._scope.knows(name):
        return
    dice = random.Random(salt)
    for tau in model.flat(TAUS):
        tau.subs[name] = [dice.randrange(100) for _ in range(dice.randrange(3))]
    lists = [tau.subs[name] for tau in model.flat(TAUS)]
    values = np.array([v for values in lists for v in values], dtype=np.int64)
    events.add(name, {"value": values}, counts=[len(values) for values in lists], parent=TAUS)
    assert events[name]["value"].to_list() == [[t.subs[name] for t in taus] for taus in model.seen(TAUS)]


OPERATIONS = {
    "select": select,
    "select_events": select_events,
    "decorate": decorate,
    "relink": relink,
    "add_subs": add_subs,
}


# ── comparison ───────────────────────────────────────────────────────────────────────────────────────────────────────


def compare(model: Model, events: Events) -> None:
    assert len(events) == sum(e.visible for e in model.events)
    assert events["EventInfo"]["eventNumber"].tolist() == [e.number for e in model.events if e.visible]
    for container in (TAUS, TRACKS):
        view = events[container]
        assert view["id"].to_list() == [[t.id for t in things] for things in model.seen(container)]
        assert view.counts.tolist() == [len(things) for things in model.seen(container)]
        assert len(view) == len(model.flat(container))
        for name in {name for t in model.flat(container) for name in t.deco}:
            # an object that was hidden when others were decorated cannot come back, so all that are seen have it
            assert view[name].to_list() == [[t.deco[name] for t in things] for things in model.seen(container)]
    assert events[TAUS]["name"].to_list() == [[f"tau {t.id}" for t in taus] for taus in model.seen(TAUS)]
    visible = {t.id for t in model.flat(TRACKS)}
    expected = [[[i for i in t.links if i in visible] for t in taus] for taus in model.seen(TAUS)]
    assert events[TAUS].follow("links", TRACKS)["id"].to_list() == expected
    expected = [[[t.one] if t.one in visible else [] for t in taus] for taus in model.seen(TAUS)]
    assert events[TAUS].follow("one", TRACKS)["id"].to_list() == expected


def as_lists(column: Column) -> list:
    """Content of a column as Python lists, events outermost."""
    content = column.content.tolist()
    if column.offsets is None:
        return content
    assert column.offsets[0] == 0
    assert column.offsets[-1] == len(content)
    return [content[a:b] for a, b in pairwise(column.offsets)]


def resolved(link: dict[str, int], tracks: list[int]) -> int | None:
    """The number of the track that an exported link points to, in the exported file."""
    if link["container"] != container_id(TRACKS):
        assert (link["container"], link["index"]) in ((0, 0), (OTHER, 0))
        return None
    return tracks[link["index"]] if link["index"] < len(tracks) else None


def compare_export(model: Model, events: Events) -> None:
    written = {TAUS, TRACKS, "EventInfo"}
    ids = {c: as_lists(event_column(events, f"{c}.id", written)) for c in (TAUS, TRACKS)}
    for container, lists in ids.items():
        assert lists == [[t.id for t in things] for things in model.seen(container)]
    visible = {t.id for t in model.flat(TRACKS)}
    exported = as_lists(event_column(events, f"{TAUS}.links", written))
    found = [
        [[resolved(link, tracks) for link in links] for links in taus]
        for taus, tracks in zip(exported, ids[TRACKS], strict=True)
    ]
    assert found == [[[i if i in visible else None for i in t.links] for t in taus] for taus in model.seen(TAUS)]
    exported = as_lists(event_column(events, f"{TAUS}.one", written))
    found = [[resolved(x, tracks) for x in taus] for taus, tracks in zip(exported, ids[TRACKS], strict=True)]
    assert found == [[t.one if t.one in visible else None for t in taus] for taus in model.seen(TAUS)]
    everything = [[t.id for t in e.things[TRACKS]] for e in model.events if e.visible]
    alone = as_lists(event_column(events, f"{TAUS}.links", {TAUS}))
    found = [[[resolved(x, t) for x in links] for links in taus] for taus, t in zip(alone, everything, strict=True)]
    assert found == [[[i if i in visible else None for i in t.links] for t in taus] for taus in model.seen(TAUS)]
    # one entry for each tau
    taus = model.flat(TAUS)
    assert object_column(events, f"{TAUS}.id", TAUS).content.tolist() == [t.id for t in taus]
    numbers = [e.number for e in model.events if e.visible for t in e.things[TAUS] if t.visible]
    assert object_column(events, "EventInfo.eventNumber", TAUS).content.tolist() == numbers
    for name in {name for t in taus for name in t.subs}:
        assert as_lists(object_column(events, f"{name}.value", TAUS)) == [t.subs[name] for t in taus]


SIZES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=6)
STEPS = st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 1000)), max_size=6)


def apply(steps, model, events):
    for operation, salt in steps:
        OPERATIONS[operation](model, events, salt)


@PARTS
@given(SIZES, STEPS, st.integers(0, 1000))
def test_events_do_what_plain_lists_do(sizes, steps, salt):
    model = make_model(sizes, salt)
    events = events_of(model)
    compare(model, events)
    for operation, number in steps:
        OPERATIONS[operation](model, events, number)
        compare(model, events)
    compare_export(model, events)


@PARTS
@given(SIZES, STEPS, STEPS, STEPS, st.integers(0, 1000))
def test_children_see_the_job_and_keep_their_own(sizes, before, first, second, salt):
    """What a stream does is seen by nobody else, however it is mixed with what the job and other streams did."""
    job = make_model(sizes, salt)
    events = events_of(job)
    apply(before, job, events)
    views = [(copy.deepcopy(job), events.child(name)) for name in "ab"]
    for (model, child), steps in zip(views, (first, second), strict=True):
        apply(steps, model, child)
    for model, child in [(job, events), *views]:
        compare(model, child)
        compare_export(model, child)


@PARTS
@given(SIZES, STEPS, st.integers(0, 6), st.integers(0, 1000))
def test_chunks_make_no_difference(sizes, steps, cut, salt):
    """Two chunks give what one gives: ids, decorations, exported links, random numbers."""
    steps = [(name, number) for name, number in steps if name not in ("relink", "add_subs")]  # these throw dice a chunk
    model = make_model(sizes, salt)
    columns = columns_of(model)
    cut = min(cut, len(sizes))

    def outcome(start, stop):
        part = Model(copy.deepcopy(model.events[start:stop]))
        scope = Scope.from_columns({n: c[start:stop] for n, c in columns.items()}, stop - start, seed=3)
        events = Events(scope)
        for operation, number in steps:
            OPERATIONS[operation](part, events, number)
        events[TAUS]["noise"] = events.random("smear").normal(events[TAUS].counts)
        events[TAUS]["more"] = events.random("smear").uniform(events[TAUS].counts)
        names = [f"{TAUS}.{c}" for c in ("id", "links", "one", "noise", "more", "name")] + [f"{TRACKS}.id"]
        return {name: as_lists(event_column(events, name, {TAUS, TRACKS})) for name in names}

    whole, first, second = outcome(0, len(sizes)), outcome(0, cut), outcome(cut, len(sizes))
    assert whole == {name: first[name] + second[name] for name in whole}


@PARTS
@given(SIZES, STEPS, st.integers(0, 1000), st.integers(0, 3))
def test_linked_views_do_what_lists_do(sizes, steps, salt, number):
    model = make_model(sizes, salt)
    events = events_of(model)
    apply(steps, model, events)
    visible = {t.id for t in model.flat(TRACKS)}
    lists = [[i for i in t.links if i in visible] for t in model.flat(TAUS)]
    tracks = events[TAUS].follow("links", TRACKS)
    assert [len(found) for found in lists] == tracks.counts.tolist()
    assert [i for i, found in enumerate(lists) for _ in found] == tracks.owners.tolist()

    def flat(view):
        content = view.flat("id").tolist()
        edges = np.cumsum([0, *view.counts])
        return [content[a:b] for a, b in pairwise(edges)]

    assert flat(tracks.where(tracks.flat("id") % 3 != 0)) == [[i for i in found if i % 3] for found in lists]
    assert flat(tracks.where(tracks["id"] % 3 != 0)) == flat(tracks.where(tracks.flat("id") % 3 != 0))
    digit = tracks.flat("id") % 4
    for kind in (np.int64, np.uint8, np.float32):  # sorted() is stable too
        expected = [sorted(found, key=lambda i: -(i % 4)) for found in lists]
        assert flat(tracks.sort(digit.astype(kind))) == expected
        expected = [sorted(found, key=lambda i: i % 4) for found in lists]
        assert flat(tracks.sort(digit.astype(kind), descending=False)) == expected
    assert flat(tracks.first(number)) == [found[:number] for found in lists]
    assert tracks.one("id", -1).tolist() == [found[0] if found else -1 for found in lists]
