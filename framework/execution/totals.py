"""What is done of a plan, and the totals: results are added up in fixed groups of the plan while units come in, groups
in plan order, so that sums are bitwise the same for any number of workers, and memory holds no results.

A group's total goes into the ledger when its last unit has come. The results of its units stay beside it where they are
small, so that a plan that loses or gains files needs nothing again; else they are dropped.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from hepflow.errors import OutputError, ToolError
from hepflow.events.scope import Cutflow, Notes
from hepflow.execution.ledger import Ledger, Place
from hepflow.execution.packing import PackingError
from hepflow.execution.results import add
from hepflow.files import sync_file

if TYPE_CHECKING:
    from hepflow.execution.plan import WorkUnit

__all__ = ["UNITS", "Done", "Total", "Totals", "not_kept", "progress", "segment_of"]

KEPT_BYTES = 16 * 2**20
"""Up to this the results of a group's units stay in the ledger."""
GROUP, UNITS = "group-", "units-"
"""How the files of the ledger begin that hold the total of a group, and what workers appended."""


@dataclass
class Done:
    """A finished work unit: its key, entries, output parts by stream (names), and where its result is, None where that
    is in the total of its group only.
    """

    key: str
    entries: int
    parts: Mapping[str, str]
    place: Place | None


@dataclass
class Total:
    """Results of work units, added up."""

    entries: int = 0
    results: dict[str, Any] = field(default_factory=dict)
    cutflow: Cutflow = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)

    def add(self, entries: int, results: Mapping[str, Any], cutflow: Cutflow, notes: Notes) -> None:
        """Add what comes next in plan order; ToolError where results cannot be added."""
        self.entries += entries
        for name, value in results.items():
            self.results[name] = add(self.results.get(name), value, where=f"tool {name}")
        for line, counts in cutflow.items():
            known = self.cutflow.get(line, [0, 0, 0])
            self.cutflow[line] = [a + b for a, b in zip(known, counts, strict=True)]
        for note, count in notes.items():
            self.notes[note] = self.notes.get(note, 0) + count

    def values(self) -> list[Any]:
        """Return what ``add`` takes."""
        return [self.entries, self.results, self.cutflow, self.notes]


class Totals:
    """The finished work units of a run, and the totals of the groups of its plan. ``made`` is the fingerprint of the
    run: entries of the ledger with another one count for nothing.
    """

    def __init__(self, ledger: Ledger, parts: Path, made: str) -> None:
        self.done: dict[str, Done] = {}
        self._ledger = ledger
        self._parts = parts
        self._made = made
        self._about: dict[str, dict[str, Any]] = {}
        self._folded: dict[str, Place] = {}
        self._groups: list[list[str]] = []
        self._group_of: dict[str, int] = {}
        self._missing: list[int] = []
        self._keep = False
        self._unsafe: dict[str, list[Done]] = defaultdict(list)
        self._used: Counter[str] = Counter()

    def read(self, is_whole: Callable[[str, Sequence[Any]], bool], *, resume: bool) -> None:
        """Know what the ledger has where a run goes on; ``is_whole(stream, [name, size, …])`` tells whether a part is
        as it was written.
        """
        for known in (self.done, self._about, self._folded):
            known.clear()
        if not resume:
            return
        groups: dict[str, tuple[Place, list[str]]] = {}
        for about, place in (entry for prefix in (GROUP, UNITS) for entry in self._ledger.entries(prefix)):
            if about.get("made") != self._made:
                continue
            if "unit" in about:
                self._found(about, place)
            elif "group" in about:
                for unit in about["units"]:
                    self._found(unit, None)
                groups[about["group"]] = (place, [unit["unit"] for unit in about["units"]])
        broken = [key for key, about in self._about.items() if not all(is_whole(*p) for p in about["parts"].items())]
        for key in broken:
            del self._about[key], self.done[key]
        for name, (place, keys) in groups.items():
            if all(key in self.done for key in keys):
                self._folded[name] = place

    def _found(self, about: dict[str, Any], place: Place | None) -> None:
        key = about["unit"]
        if place is not None or key not in self.done:
            self._about[key] = about
            parts = {stream: part[0] for stream, part in about["parts"].items()}
            self.done[key] = Done(key, about["entries"], parts, place)

    def plan(self, units: Sequence[WorkUnit], *, whole: bool = True) -> list[WorkUnit]:
        """Fold these units in the groups that they have in the plan; return those that are not done. Where some of the
        plan are not among them (``whole`` is false), all results are kept.
        """
        groups: dict[int, list[str]] = defaultdict(list)
        for unit in units:
            groups[unit.group].append(unit.key)
        self._groups = list(groups.values())
        self._group_of = {key: number for number, keys in enumerate(self._groups) for key in keys}
        self._keep = not whole
        named = [_name(keys) for keys in self._groups]
        known = {name: self._folded[name] for name in named if name in self._folded}
        in_total = {key for name, keys in zip(named, self._groups, strict=True) if name in known for key in keys}
        self._folded = known
        self.done = {key: done for key, done in self.done.items() if done.place is not None or key in in_total}
        self._used = Counter(done.place.file for done in self.done.values() if done.place is not None)
        self._used.update(place.file for place in known.values())
        self._missing = [sum(key not in self.done for key in keys) for keys in self._groups]
        for number, missing in enumerate(self._missing):
            if not missing:
                self._fold(number)
        return [unit for unit in units if unit.key not in self.done]

    # ── while units come in ──────────────────────────────────────────────────────────────────────────────────────────

    def add(self, about: dict[str, Any], place: Place, by: str, *, safe: bool) -> None:
        """Take a unit that a worker has finished; it counts when the worker says that all it did is ``safe`` on
        disk.
        """
        parts = {stream: part[0] for stream, part in about["parts"].items()}
        self._about[about["unit"]] = about
        self._unsafe[by].append(Done(about["unit"], about["entries"], parts, place))
        if safe:
            for done in self._unsafe.pop(by):
                self._count(done)

    def flush(self) -> None:
        """Make safe, and count, what workers had no time for."""
        waiting = [done for several in self._unsafe.values() for done in several]
        self._unsafe.clear()
        for name in {name for done in waiting for name in done.parts.values()}:
            sync_file(self._parts / name)
        for file in {done.place.file for done in waiting if done.place is not None}:
            sync_file(self._ledger.folder / file)
        if waiting:
            sync_file(self._parts)
            sync_file(self._ledger.folder)
        for done in waiting:
            self._count(done)

    def tidy(self) -> None:
        """Remove the files of workers that hold nothing: what failed, or was done twice. No worker may be left."""
        used = {PurePath(file).stem for file, count in self._used.items() if count}
        for name in self._ledger.names(UNITS):
            if name not in used:
                self._ledger.forget(name)

    def _count(self, done: Done) -> None:
        if done.key in self.done or done.place is None:  # a cluster did it twice
            return
        self.done[done.key] = done
        self._used[done.place.file] += 1
        number = self._group_of[done.key]
        self._missing[number] -= 1
        if not self._missing[number]:
            self._fold(number)

    def _fold(self, number: int) -> None:
        """Add up a group whose units are all done, and write its total; drop what is not needed any more."""
        keys = self._groups[number]
        name = _name(keys)
        if name in self._folded:
            return
        places = [self._place(key) for key in keys]
        total = Total()
        for key, place in zip(keys, places, strict=True):
            total.add(self.done[key].entries, *self._value(place))
        about = {"group": name, "made": self._made, "units": [self._about[key] for key in keys]}
        entry = self._ledger.encode(about, total.values())
        kept = self._keep or sum(place.length for place in places) <= KEPT_BYTES
        units = [self._ledger.read(place) for place in places] if kept else []
        *moved, self._folded[name] = self._ledger.save_all(f"{GROUP}{name}", [*units, entry])
        self._used[self._folded[name].file] += 1 + len(moved)
        for index, (key, place) in enumerate(zip(keys, places, strict=True)):
            self.done[key].place = moved[index] if kept else None
            del self._about[key]
            self._used[place.file] -= 1
            if not self._used[place.file]:
                self._ledger.remove(place.file)

    def _place(self, key: str) -> Place:
        place = self.done[key].place
        assert place is not None
        return place

    def _value(self, place: Place) -> Any:
        try:
            return self._ledger.value(place)
        except (PackingError, OSError) as error:
            if isinstance(error, PackingError) and error.keys:
                raise not_kept(error) from error
            raise OutputError(
                f"the ledger of the run is damaged: {error}",
                where=str(self._ledger.folder / place.file),
                hint="--resume does again what is lost",
            ) from error

    # ── at the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def total(self) -> Total:
        """Return the sum of all groups, which must be complete."""
        total = Total()
        for keys in self._groups:
            total.add(*self._value(self._folded[_name(keys)]))
        return total

    def parts(self, stream: str) -> list[Path]:
        """Return the finished parts of a stream, in plan order."""
        return [self._parts / self.done[key].parts[stream] for keys in self._groups for key in keys]

    def keys(self) -> Iterable[str]:
        """Return the keys of all units, in plan order."""
        return (key for keys in self._groups for key in keys)


def not_kept(error: PackingError) -> ToolError:
    """Return the error to show for a result that cannot be written down, or read again."""
    tool, *keys = error.keys or ("",)
    return ToolError(
        f"what a tool has accumulated cannot be kept: {error}",
        where=f"tool {tool}{''.join(f'[{key!r}]' for key in keys)}" if tool else "",
        hint="a result is made of numbers, arrays, objects with + that can be pickled, and dicts, lists, dataclasses "
        "of these",
    )


def segment_of(group: int) -> str:
    """Return how the files of the ledger begin that hold what is done of a group."""
    return f"{UNITS}{group:06d}"


def progress(ledger: Ledger) -> tuple[int, float | None]:
    """Return how many work units are finished, and when the last one was (seconds since the epoch)."""
    keys: set[str] = set()
    names = [*ledger.names(GROUP), *ledger.names(UNITS)]
    for about in (about for name in names for about in ledger.titles(name)):
        keys.update([about["unit"]] if "unit" in about else [unit["unit"] for unit in about.get("units", ())])
    return len(keys), max(map(ledger.written, names), default=None)


def _name(keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
