"""The run directory: who may write there, what resume keeps, what force replaces."""

from __future__ import annotations

import json

import pytest

from hepflow.errors import OutputError
from hepflow.execution.plan import WorkUnit
from hepflow.execution.rundir import RunDirectory
from hepflow.execution.totals import UNITS, Totals


def prepare(path, resume=False, force=False, job="job"):
    directory = RunDirectory.prepare(str(path) if path else None, job, resume=resume, force=force)
    directory.release()
    return directory


def record(directory, key, entries=10, results=None, **parts):
    """Append a work unit to the ledger, with parts of so many bytes, as a worker does."""
    told = {name: [f"{name}_{int(key[1:]):06d}.root", size] for name, size in parts.items()}
    about = {"unit": key, "made": "", "entries": entries, "parts": told}
    segment = directory.ledger.segment(UNITS)
    segment.append(about, [results or {}, {}, {}])
    segment.close()


def units_done(directory):
    totals = Totals(directory.ledger, directory.parts, "")
    totals.read(directory.part_check(), resume=True)
    return totals


def noted(directory):
    return json.loads((directory.state / "files.json").read_text())


def test_new_folder_is_made(tmp_path):
    directory = prepare(tmp_path / "a" / "b")
    assert directory.parts.is_dir()
    assert directory.ledger.folder.is_dir()
    assert directory.files() == []


def test_default_name_and_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = prepare(None), prepare(None)
    assert first.path.parent.name == "output"
    assert first.path.name.startswith("job-2")
    assert first.path != second.path
    latest = tmp_path / "output" / "job-latest"
    assert latest.resolve() == second.path.resolve()
    assert not latest.readlink().is_absolute()
    assert prepare(None, resume=True).path == second.path.resolve()


def test_nothing_to_resume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="no run to resume in"):
        prepare(tmp_path / "none", resume=True)
    with pytest.raises(OutputError, match="no run of job to resume"):
        prepare(None, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_existing_run_is_refused(tmp_path):
    prepare(tmp_path / "run")
    with pytest.raises(OutputError, match="exists already") as caught:
        prepare(tmp_path / "run")
    assert "--resume" in caught.value.hint
    assert "--force" in caught.value.hint


@pytest.mark.parametrize("options", [{}, {"force": True}, {"resume": True}])
def test_foreign_folder_is_refused_even_with_force(tmp_path, options):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="was not made by a hepflow run"):
        prepare(tmp_path / "thesis", **options)
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["b" * 300, "~nobody-at-all/x", "link"])
def test_what_cannot_be_made_is_told_before_the_plan(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OutputError, match=r"cannot be made|leads nowhere"):
        RunDirectory.check(name, "job", resume=False, force=False)


def test_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        prepare(tmp_path / "file", force=True)


@pytest.mark.parametrize("path", ["/proc/hepflow-run", "{}/file/run"])
def test_folder_that_cannot_be_made(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made") as caught:
        prepare(path.format(tmp_path))
    assert "-o" in caught.value.hint


def test_force_removes_what_the_run_wrote_and_nothing_else(tmp_path):
    directory = prepare(tmp_path / "run")
    (directory.path / "plots").mkdir()
    with directory.noting("tool_a", [directory.path / "tree_000001.root", directory.path / "plots"]):
        for name in ("tree_000001.root", "plots/a.png", "joboptions.py", "provenance.json"):
            (directory.path / name).write_text("run")
    (directory.path / "notes.txt").write_text("mine")
    (directory.path / "plots" / "mine.png").write_text("mine")
    (directory.path / "mine" / "empty").mkdir(parents=True)
    again = prepare(tmp_path / "run", force=True)
    assert sorted(str(p.relative_to(again.path)) for p in again.files()) == ["notes.txt", "plots/mine.png"]
    assert (again.path / "mine" / "empty").is_dir()
    assert list(again.ledger.folder.iterdir()) == []


def test_only_what_a_step_wrote_is_noted(tmp_path):
    (tmp_path / "run" / ".hepflow").mkdir(parents=True)
    (tmp_path / "run" / "old.txt").write_text("mine")
    directory = prepare(tmp_path / "run", resume=True)

    def broken():
        with directory.noting("tool_a", [directory.path / "new.root"]):
            (directory.path / "new.root").write_text("run")
            (directory.path / "notes.txt").write_text("written by the user while the run went on")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    with directory.noting("tool_b", [directory.path / "new.root", directory.path / "old.txt"]):
        (directory.path / "new.root").write_text("longer")
    assert noted(directory) == {"new.root": {"step": "tool_a", "size": 6}}


@pytest.mark.parametrize("ended", [False, True])
def test_what_a_killed_process_wrote_belongs_to_the_run(tmp_path, ended):
    (tmp_path / "run" / ".hepflow").mkdir(parents=True)
    (tmp_path / "run" / "net").mkdir()
    (tmp_path / "run" / "net" / "old.txt").write_text("mine")
    directory = prepare(tmp_path / "run", resume=True)
    directory.begin()
    (directory.path / "net" / "checkpoint").write_text("half")
    temporary = [directory.path / "net" / ".part77-model.keras", directory.state / "payload.pkl"]
    for path in temporary:
        path.write_text("half")
    if ended:
        directory.finish([])  # the run knows of no such file: somebody put it there
    directory = prepare(tmp_path / "run", resume=True)
    assert not any(path.exists() for path in temporary)
    with directory.noting("tool_a", [directory.path / "net"]):
        (directory.path / "net" / "model").write_text("whole")
    assert set(noted(directory)) == {"net/model"} | (set() if ended else {"net/checkpoint"})
    prepare(tmp_path / "run", force=True)
    assert (directory.path / "net" / "old.txt").exists()
    assert (directory.path / "net" / "checkpoint").exists() == ended


def test_two_runs_do_not_share_a_folder(tmp_path):
    first = RunDirectory.prepare(str(tmp_path / "run"), "job", resume=False, force=False)
    for options in ({"resume": True, "force": False}, {"resume": False, "force": True}):
        with pytest.raises(OutputError, match="another run is writing"):
            RunDirectory.prepare(str(tmp_path / "run"), "job", **options)
    first.write_json(".hepflow/run.json", {"pid": 77, "host": "login01"})
    with pytest.raises(OutputError, match="where: process 77 on login01"):
        RunDirectory.prepare(str(tmp_path / "run"), "job", resume=True, force=False)
    first.release()
    RunDirectory.prepare(str(tmp_path / "run"), "job", resume=True, force=False).release()


def test_numbers_that_json_does_not_know_are_written_as_text(tmp_path):
    directory = prepare(tmp_path / "run")
    directory.write_json("x.json", {"PtMax": float("inf"), "list": [1.0, float("nan")]})
    assert json.loads((directory.path / "x.json").read_text()) == {"PtMax": "inf", "list": [1.0, "nan"]}


def test_ledger_of_units(tmp_path):
    directory = prepare(tmp_path / "run")
    (directory.parts / "tree_000002.root").write_text("part")
    record(directory, "u1", results={"t": 5})
    record(directory, "u2", 20, tree=4)
    record(directory, "u3", 30, tree=4)
    (directory.parts / "tree_000004.root").write_text("cut")
    record(directory, "u4", 20, tree=4)
    totals = units_done(directory)
    assert sorted(totals.done) == ["u1", "u2"]  # the part of unit 3 is gone, that of unit 4 is not whole
    units = [WorkUnit(n, None, 0, 10 * n, f"u{n}") for n in (1, 2)]
    assert totals.plan(units) == []
    assert (totals.total().entries, totals.total().results) == (30, {"t": 5})


@pytest.fixture
def finished(tmp_path):
    """A run of one stream and the tools a, b, c; b changed a file of a."""
    directory = prepare(tmp_path / "run")
    written = [directory.path / name for name in ("tree_000001.root", "a.json", "net")]
    record(directory, "k1", tree=len("stream_tree"))
    for step, names in (("stream_tree", ["tree_000001.root"]), ("tool_a", ["a.json"]), ("tool_b", ["net/m", "a.json"])):
        with directory.noting(step, written):
            for name in names:
                (directory.path / name).parent.mkdir(exist_ok=True)
                (directory.path / name).write_text(step)
        if step == "stream_tree":
            directory.save_stream("tree", [directory.path / names[0]], [directory.parts / "tree_000001.root"])
        else:
            directory.save_step(step, None)
    directory.save_step("tool_c", None)
    return directory


def steps(directory):
    found = {path.name.removesuffix(".entries") for path in directory.ledger.folder.iterdir()}
    return {name for name in found if not name.startswith(UNITS)} | set(units_done(directory).done)


def test_a_run_whose_files_are_there_is_finished(finished):
    before = steps(finished)
    assert finished.check_files("abc") == []
    assert steps(finished) == before == {"k1", "stream_tree", "tool_a", "tool_b", "tool_c"}


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("net/m", {"k1", "stream_tree", "tool_a"}),
        ("a.json", {"k1", "stream_tree"}),
        ("tree_000001.root", set()),
    ],
)
@pytest.mark.parametrize("damage", ["delete", "truncate"])
def test_steps_whose_files_are_gone_or_damaged_are_forgotten(finished, name, left, damage):
    size = (finished.path / name).stat().st_size
    if damage == "delete":
        (finished.path / name).unlink()
    else:
        (finished.path / name).write_text("x")
    said = "is gone" if damage == "delete" else f"has 1 bytes, not {size}"
    assert finished.check_files("abc") == [f"{name} {said}"]
    assert steps(finished) == left
    assert finished.check_files("abc") == []  # the step is not finished: it will write them


def test_only_what_a_step_wrote_is_noted_anew(finished):
    before = noted(finished)
    (finished.path / "tree_000001.root").unlink()
    (finished.path / "a.json").write_text("x")
    with finished.noting("tool_c", []):
        (finished.path / "net" / "c").write_text("c")
    assert noted(finished) == {**before, "net/c": {"step": "tool_c", "size": 1}}
    with finished.adding(["net/m", "report.html"]):
        (finished.path / "net" / "m").write_text("longer than it was")
        (finished.path / "report.html").write_text("report")
    assert noted(finished) == {
        **before,
        "net/c": {"step": "tool_c", "size": 1},
        "net/m": {"step": "tool_b", "size": 18},
        "report.html": {"step": "", "size": 6},
    }


def test_what_is_written_into_a_folder_of_the_run_belongs_to_it(finished):
    """A tool may write into the folder of another, which was kept: nobody asked this process for it."""
    for name in ("net/mine.txt", "other/mine.txt"):
        (finished.path / name).parent.mkdir(exist_ok=True)
        (finished.path / name).write_text("there before the step")
    before = noted(finished)
    with finished.noting("tool_c", []):
        for name in ("net/0/c", "other/user.txt", "user.txt"):
            (finished.path / name).parent.mkdir(exist_ok=True)
            (finished.path / name).write_text("c")
    assert noted(finished) == {**before, "net/0/c": {"step": "tool_c", "size": 1}}


def test_what_a_step_does_not_write_again_counts_for_none(finished):
    written = []
    with finished.noting("tool_b", written):
        written += [finished.path / "net", finished.path / "net-1"]
        (finished.path / "net" / "old").write_text("o")
        (finished.path / "net" / "m").rename(finished.path / "net" / "n")
    written.append(finished.path / "net")
    with finished.noting("tool_b", written):
        written += [finished.path / "net", finished.path / "net-1"]
        (finished.path / "net").rename(finished.path / "net-1")
        (finished.path / "net").mkdir()
        (finished.path / "net" / "m").write_text("new")
    found = {name: entry["step"] for name, entry in noted(finished).items() if name.startswith("net")}
    assert found == {"net/m": "tool_b", "net-1/n": "", "net-1/old": ""}
    with finished.noting("tool_b", written):
        written.append(finished.path / "net")  # goes on with what is in there
    assert noted(finished)["net/m"]["step"] == "tool_b"
    with finished.noting("tool_b", written):
        """Writes somewhere else now."""
    assert noted(finished)["net/m"]["step"] == ""
    prepare(finished.path, force=True)
    assert finished.files() == []


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("tool_c", {"k1", "stream_tree", "tool_a", "tool_b"}),
        ("tool_a", {"k1", "stream_tree"}),
        ("stream_tree", {"k1"} - {"k1"}),
    ],
)
@pytest.mark.parametrize("blob", [b"", b"\x80\x05junk", b"cno_such_module\nthing\n."])
def test_steps_that_cannot_be_read_are_forgotten(finished, name, left, blob):
    (finished.ledger.folder / f"{name}.entries").write_bytes(blob)
    assert finished.load_step(name) == (False, None)
    assert finished.check_files("abc") == [f".hepflow/ledger/{name} cannot be read"]
    assert steps(finished) == left


@pytest.mark.parametrize("name", ["files.json", "fingerprint.json", "before.json"])
@pytest.mark.parametrize("text", ["", '{"tree', "\0" * 20])
def test_a_damaged_file_of_the_ledger_is_told_and_force_works(finished, name, text):
    finished.check_fingerprint(made_of(), resume=False)
    (finished.state / name).write_text(text)

    def resume():
        directory = prepare(finished.path, resume=True)
        directory.check_fingerprint(made_of(), resume=True)
        directory.check_files("abc")

    with pytest.raises(OutputError, match=f".hepflow/{name} of the run is damaged") as caught:
        resume()
    assert "--force" in caught.value.hint
    assert caught.value.where == str(finished.state / name)
    again = prepare(finished.path, force=True)
    assert bool(again.files()) == (name == "files.json")
    assert not steps(again)
    assert again.check_fingerprint(made_of(), resume=True) == []


def test_finished_parts_of_one_stream_only(tmp_path):
    directory = prepare(tmp_path / "run")
    for name in ("a_000002-k.root", "a_000001-k.root", "a_b_000001-k.root", "a_000003-k.root.part"):
        (directory.parts / name).write_text("")
    assert [(n, p.name) for n, p in directory.finished_parts("a")] == [(1, "a_000001-k.root"), (2, "a_000002-k.root")]


def test_steps(tmp_path):
    directory = prepare(tmp_path / "run")
    assert directory.load_step("x") == (False, None)
    directory.save_step("x", {"a": 1})
    directory.save_step("y", None)
    directory.save_step("z", (number for number in range(3)))  # cannot be pickled: made again on resume
    assert directory.load_step("x") == (True, {"a": 1})
    assert directory.load_step("y") == (True, None)
    assert directory.load_step("z") == (False, None)


def test_paths_are_those_of_the_folder_that_is_read(tmp_path):
    directory = prepare(tmp_path / "run")
    inside, outside = directory.path / "net" / "m", tmp_path / "runner" / "m"
    value = {"file": inside, "text": str(inside), "folder": directory.path, "other": [outside, str(outside)], "n": 1}
    directory.save_step("x", value)
    assert directory.load_step("x") == (True, value)
    directory.path.rename(tmp_path / "moved")
    inside = tmp_path / "moved" / "net" / "m"
    moved = {**value, "file": inside, "text": str(inside), "folder": tmp_path / "moved"}
    assert prepare(tmp_path / "moved", resume=True).load_step("x") == (True, moved)


def made_of(settings=None, inputs=None, finalize=None):
    return {"settings": settings or {}, "run": {}, "inputs": inputs or {}, "finalize": finalize or {}}


def test_fingerprint_shows_what_differs_and_nothing_else(tmp_path):
    directory = prepare(tmp_path / "run")
    first = made_of({"cut": {"PtMin": 5.0, "Eta": (1, 2), "Vars": {"a": [{"floor": 1.0}], "b": list(range(90))}}})
    other = made_of({"cut": {"PtMin": 7.0, "Eta": (1, 3), "Vars": {"a": [{"floor": 2.0}], "b": list(range(90))}}})
    directory.check_fingerprint(first, resume=False)
    assert directory.check_fingerprint(first, resume=True) == []
    with pytest.raises(OutputError, match="cannot be resumed") as caught:
        directory.check_fingerprint(other, resume=True)
    lines = ["cut.PtMin: 5.0 → 7.0", "cut.Eta[1]: 2 → 3", "cut.Vars.a[0].floor: 1.0 → 2.0"]
    assert caught.value.message.splitlines()[1:] == [f"  {line}" for line in lines]


def inputs(names, size=1, ctime=5):
    return {f"{name}.root": ["", size, 1.0, ctime, "uuid", "MeV", "0–9, 9–20", ""] for name in names}


def test_fingerprint_of_what_was_added_and_of_many_differences(tmp_path, caplog):
    directory = prepare(tmp_path / "run")
    directory.check_fingerprint(made_of(inputs=inputs("a")), resume=False)
    changed = directory.check_fingerprint(made_of(inputs=inputs("bc")), resume=True)
    assert changed == ["inputs: 2 added", "inputs: 1 taken out"]
    assert directory.check_fingerprint(made_of(inputs=inputs("bc", ctime=6)), resume=True) == []
    assert "inputs were touched since then" in caplog.text
    with pytest.raises(OutputError, match=r"  inputs\.b\.root\.size: 1 → 2"):
        directory.check_fingerprint(made_of(inputs=inputs("b", 2)), resume=True)
    directory.check_fingerprint(made_of(inputs=inputs(range(99))), resume=True)
    with pytest.raises(OutputError) as caught:
        directory.check_fingerprint(made_of(inputs=inputs(range(99), 2)), resume=True)
    assert len(caught.value.message.splitlines()) == 14
    assert caught.value.message.endswith("  … and 87 more")


@pytest.mark.parametrize(
    ("finalize", "left", "changed"),
    [
        ({"a": {}, "b": {"X": 1}, "c": {}}, "abc", []),
        ({"a": {}, "b": {"X": 2}, "c": {}}, "a", ["b.X: 1 → 2"]),
        ({"a": {}, "c": {}}, "a", ["b: {'X': 1} → absent"]),
        ({"b": {"X": 1}, "a": {}, "c": {}}, "", ["order: a, b → b, a"]),
        ({"a": {}, "d": {}, "c": {}, "b": {"X": 2}}, "a", ["b.X: 1 → 2", "d: absent → {}", "order: b, c → c, b"]),
    ],
)
def test_steps_that_only_finalize_may_change(tmp_path, finalize, left, changed):
    directory = prepare(tmp_path / "run")
    directory.check_fingerprint(made_of(finalize={"a": {}, "b": {"X": 1}, "c": {}}), resume=False)
    for name in "abc":
        directory.save_step(f"tool_{name}", name)
    assert directory.check_fingerprint(made_of(finalize=finalize), resume=True) == changed
    assert "".join(name for name in "abc" if directory.load_step(f"tool_{name}")[0]) == left


def test_a_disk_that_was_full_at_the_start_is_no_obstacle(tmp_path, monkeypatch):
    directory = prepare(tmp_path / "run")
    monkeypatch.setattr(RunDirectory, "write_json", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        directory.check_fingerprint(made_of(), resume=False)
    monkeypatch.undo()
    assert directory.check_fingerprint(made_of(), resume=True) == []


def test_a_ledger_of_unknown_settings_is_refused(finished):
    assert not (finished.state / "fingerprint.json").exists()
    with pytest.raises(OutputError, match="its ledger is damaged, or of another version"):
        finished.check_fingerprint(made_of(), resume=True)


def test_names_and_links_that_lead_out_are_refused(finished, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (finished.state / "files.json").write_text(json.dumps({"../precious": {"step": "", "size": 4}}))
    prepare(finished.path, force=True)  # it may remove nothing that it does not know
    assert precious.read_text() == "mine"
    (finished.state / "files.json").write_text(json.dumps({str(precious): {"step": "", "size": 4}}))
    with pytest.raises(OutputError, match="names files outside of the run directory"):
        finished.check_files("abc")
    (tmp_path / "elsewhere").mkdir()
    finished.parts.rmdir()
    finished.parts.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="parts is a link"):
        prepare(finished.path, resume=True)


def test_a_run_directory_that_went_away_is_told(finished):
    finished.finish([finished.path / "tree_000001.root"])
    (finished.path / "tree_000001.root").unlink()
    with pytest.raises(OutputError, match="removed or moved during the run"):
        finished.finish([finished.path / "tree_000001.root"])
