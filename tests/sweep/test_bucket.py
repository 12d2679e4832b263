"""Sweeps whose results lie in a bucket: another machine goes on with them."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.sweep import sweeps
from tests.sweep.leases import of_another, owner
from trainables.buckets import Bucket, StoreError
from trainables.errors import InputError
from tune_dd.evaluation.published import publish_evaluation
from tune_dd.runs.places import folder_of
from tune_dd.sweeps import mirror as mirror_module
from tune_dd.sweeps.copies import bring_sweep
from tune_dd.sweeps.journal import JOURNAL_FILE
from tune_dd.sweeps.lease import RUNNING_FILE, TakenOver
from tune_dd.sweeps.mirror import Mirror, mirrored


@pytest.fixture
def folder(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy of a sweep in ``bucket``, with a journal."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    monkeypatch.setattr(mirror_module, "PERIOD_S", 0.1)
    folder = folder_of(bucket.uri)
    folder.mkdir(parents=True)
    (folder / JOURNAL_FILE).write_text("1\n")
    return folder


def shows(bucket: Bucket, name: str, content: bytes | None) -> None:
    deadline = time.monotonic() + 20
    while bucket.read(name) != content:
        assert time.monotonic() < deadline, f"{name} is {bucket.read(name)!r}"
        time.sleep(0.05)


def journal(folder: Path, line: str) -> None:
    with (folder / JOURNAL_FILE).open("a") as stream:
        stream.write(line)


def test_what_is_written_shows_in_the_bucket(bucket: Bucket, folder: Path) -> None:
    with mirrored(folder, print) as mirror:
        mirror.start()
        shows(bucket, JOURNAL_FILE, b"1\n")
        (folder / "run").mkdir()
        (folder / "run" / "summary.json").write_text("{}")
        journal(folder, "2\n")
        shows(bucket, JOURNAL_FILE, b"1\n2\n")
        assert bucket.read("run/summary.json") == b"{}"
        (folder / "last").write_text("at the very end")
    assert bucket.read("last") == b"at the very end"
    assert bucket.read(RUNNING_FILE) is None


def test_the_journal_never_tells_of_files_that_are_not_there(
    bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Bucket.upload

    def slow(self: Bucket, file: Path, name: str) -> None:
        if name == "run/artefact":
            assert bucket.read(JOURNAL_FILE) == b"1\n"
            journal(folder, "3\n")  # the sweep goes on meanwhile
        upload(self, file, name)

    monkeypatch.setattr(Bucket, "upload", slow)
    writes: list[bytes] = []
    write = Bucket.write
    monkeypatch.setattr(
        Bucket,
        "write",
        lambda self, name, content: (
            writes.append(content) if name == JOURNAL_FILE else None,
            write(self, name, content),
        ),
    )
    with mirrored(folder, print) as mirror:
        mirror.start()
        shows(bucket, JOURNAL_FILE, b"1\n")
        (folder / "run").mkdir()
        (folder / "run" / "artefact").write_text("large")
        journal(folder, "2\n")
        shows(bucket, JOURNAL_FILE, b"1\n2\n3\n")
    # Line 3 came after the files had been looked for: it is told of the next time.
    assert writes == [b"1\n", b"1\n2\n", b"1\n2\n3\n"]


def test_a_former_checkpoint_goes_once_the_bucket_knows_of_the_next(bucket: Bucket, folder: Path) -> None:
    with mirrored(folder, print) as mirror:
        assert isinstance(mirror, Mirror)
        for number in (1, 2):
            bucket.write(f"tune/session-01/00000/checkpoint_{number}/file", b"")
        assert mirror.checkpoints.exists("tune/session-01/00000/checkpoint_1")
        mirror.checkpoints.replaced("tune/session-01/00000/checkpoint_1")
        time.sleep(0.5)
        assert mirror.checkpoints.exists("tune/session-01/00000/checkpoint_1")  # nothing was copied yet
        mirror.start()
        shows(bucket, "tune/session-01/00000/checkpoint_1/file", None)
    assert not mirror.checkpoints.exists("tune/session-01/00000/checkpoint_1")
    assert mirror.checkpoints.exists("tune/session-01/00000/checkpoint_2")
    assert mirror.checkpoints.new_session() == "session-02"


def test_a_store_that_is_silent_for_a_while_is_told_once(
    bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    write, broken = Bucket.write, [True]

    def unsteady(self: Bucket, name: str, content: bytes) -> None:
        if broken and name == JOURNAL_FILE:
            raise StoreError("it cannot be used", "it must", "mend it")
        write(self, name, content)

    with mirrored(folder, said.append) as mirror:
        mirror.start()
        monkeypatch.setattr(Bucket, "write", unsteady)
        (folder / JOURNAL_FILE).write_text("1\n2\n")
        time.sleep(1)
        broken.clear()
        shows(bucket, JOURNAL_FILE, b"1\n2\n")
    assert said == [
        "warning: it cannot be used, but it must: mend it. Results are copied there once that is possible."
    ]


def test_where_the_last_results_cannot_go_they_are_whole_here(
    bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(self: Bucket, file: Path, name: str) -> None:
        raise StoreError("it cannot be used", "it must", "mend it")

    def sweep() -> None:
        with mirrored(folder, print) as mirror:
            mirror.start()
            monkeypatch.setattr(Bucket, "upload", deaf)
            (folder / "summary").write_text("all")

    with pytest.raises(InputError, match=f"they are whole in {folder}"):
        sweep()


def test_nothing_is_written_over_what_another_machine_went_on_with(bucket: Bucket, folder: Path) -> None:
    def sweep() -> None:
        with mirrored(folder, print) as mirror:
            mirror.start()
            shows(bucket, JOURNAL_FILE, b"1\n")
            of_another(bucket)
            bucket.write(JOURNAL_FILE, b"1\n2 there\n")
            (folder / JOURNAL_FILE).write_text("1\n2 here\n")
            deadline = time.monotonic() + 20
            while mirror.complaint is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            mirror.discard()  # nor removed

    with pytest.raises(TakenOver, match="was taken over by elsewhere"):
        sweep()
    assert bucket.read(JOURNAL_FILE) == b"1\n2 there\n"
    assert owner(bucket)["host"] == "elsewhere"


def test_what_was_found_out_on_the_way_leaves_nothing(bucket: Bucket, folder: Path) -> None:
    def sweep() -> None:
        with mirrored(folder, print) as mirror:
            mirror.start()
            shows(bucket, JOURNAL_FILE, b"1\n")
            mirror.discard()
            shutil.rmtree(folder)
            raise InputError("--ae-epochs is 0", "it must be more", "give more")

    with pytest.raises(InputError, match="ae-epochs"):
        sweep()
    assert bucket.files() == {}


@pytest.mark.parametrize(
    ("here", "there", "stays"),
    [
        ("1\n2\n3\n", "1\n2\n", "here"),  # the last lines did not get there
        ("1\n", "1\n2\n", "there"),
        ("1\n2 of a head that was cut off\n", "1\n2\n3\n", "there"),
    ],
)
def test_the_journal_that_has_all_of_the_other_stays(
    bucket: Bucket, folder: Path, here: str, there: str, stays: str
) -> None:
    bucket.write("sweep.json", b"{}")
    bucket.write(JOURNAL_FILE, there.encode())
    (folder / JOURNAL_FILE).write_text(here)
    for age_s in (-3600, 3600):  # whatever the clocks say
        os.utime(folder / JOURNAL_FILE, (time.time() - age_s,) * 2)
        bring_sweep(folder)
        assert (folder / JOURNAL_FILE).read_text() == (here if stays == "here" else there)


def test_an_evaluation_brings_its_own_files_alone(bucket: Bucket, folder: Path) -> None:
    for name in (JOURNAL_FILE, "sweep.json", "sweep_summary.json"):
        bucket.write(name, b"there")
        (folder / name).write_text("here")
        os.utime(folder / name, (time.time() + 3600,) * 2)
    bucket.write("test_access.jsonl", b"of another machine\n")
    (folder / "test_access.jsonl").write_text("of this one\n")
    (folder / "evaluation.json").write_text("{}")
    of_another(bucket)
    publish_evaluation(folder)
    assert [bucket.read(name) for name in (JOURNAL_FILE, "sweep.json", "sweep_summary.json")] == [
        b"there"
    ] * 3
    assert bucket.read("test_access.jsonl") == b"of another machine\nof this one\n"
    assert bucket.read("evaluation.json") == b"{}"
    bucket.remove(RUNNING_FILE)
    publish_evaluation(folder)
    assert bucket.read("sweep_summary.json") == b"here"
    assert bucket.read("test_access.jsonl") == b"of another machine\nof this one\n"


def test_what_is_no_sweep_is_not_brought(bucket: Bucket, folder: Path) -> None:
    bucket.write("first/sweep.json", b"{}")
    bring_sweep(folder)
    assert [path.name for path in folder.iterdir()] == [JOURNAL_FILE]


def test_the_copy_of_a_running_sweep_is_left_alone(bucket: Bucket, folder: Path) -> None:
    from tune_dd.sweeps.journal import Journal
    from tune_dd.sweeps.latent.cell import LatentCell

    bucket.write("sweep.json", b"there")
    (folder / JOURNAL_FILE).write_text("")
    running = Journal(folder, LatentCell)
    bring_sweep(folder)
    assert not (folder / "sweep.json").exists()
    running.close()
    bring_sweep(folder)
    assert (folder / "sweep.json").read_text() == "there"


def test_unusable_buckets_are_refused_before_anything_starts(bucket: Bucket, command: Command) -> None:
    for storage, told in (
        ("gs://bucket/results", "'gs://bucket/results' names no bucket"),
        ("s3://no-such-bucket/results", "s3://no-such-bucket/results cannot be used (NO_SUCH_BUCKET"),
    ):
        done = command("search", "--name", "one", "--storage", storage)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert told in done.stderr and done.stderr.count("\n") == 1
    for words in (("distill",), ("distill", "environment"), ("verdict",)):
        done = command(*words, "--storage", bucket.uri)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--storage is {bucket.uri}, but must be a folder" in done.stderr
    missing = command("search", "--resume", "--name", "none", "--storage", bucket.uri)
    assert missing.returncode == 2
    assert f"--resume names {bucket.uri}/none, where no sweep is" in missing.stderr
    missing = command("evaluate", f"{bucket.uri}/none")
    assert missing.returncode == 2
    assert f"{bucket.uri}/none does not exist" in missing.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["latent", "environment"])
def test_another_machine_goes_on_where_one_was_killed(
    kind: str, bucket: Bucket, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, total = sweeps.DISTURBED[kind]

    def machine(name: str) -> Path:
        """A cache, and with it copies, of its own."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return folder_of(f"{bucket.uri}/far")

    def search(*more: str) -> tuple[Any, Path]:
        log = tmp_path / "log"
        given = (kind, "--name", "far", "--storage", bucket.uri, *more)
        return sweeps.launch("search", *given, cwd=tmp_path, log=log), log

    undisturbed, alone = tmp_path / "results", tmp_path / "undisturbed.log"
    machine("first")
    sweep, log = search(*words)

    def half_way() -> bool:
        """As the bucket has it: some trials have saved, and one of them goes on."""
        lines = (bucket.read("far/journal.jsonl") or b"").splitlines(keepends=True)
        known = [json.loads(line) for line in lines if line.endswith(b"\n")]
        saved, ended = ({e["trial"] for e in known if e["event"] == what} for what in ("saved", "ended"))
        return sum(e["event"] == "saved" for e in known) >= 8 and bool(saved - ended)

    sweeps.wait_for(half_way, sweep, log)
    sweeps.kill_driver(sweep)
    second = machine("second")
    sweep, log = search("--resume")
    assert "resumed" in sweeps.finish(sweep, log)
    sweeps.check_each_trial_once(second, total)
    assert sum(trial["restored"] for trial in sweeps.summary(second)["trials"]) >= 1
    if kind == "latent":  # an environment's trial goes on with other episodes
        sweeps.finish(sweeps.start(undisturbed, "--name", "whole", *words, log=alone, kind=kind), alone)
        assert sweeps.scores(second) == sweeps.scores(undisturbed / "whole")

    third = machine("third")
    whole = next(trial for trial in sweeps.summary(second)["trials"] if not trial["restored"])
    again = command("reproduce", f"{bucket.uri}/far", "--trial", whole["trial_id"])
    assert again.returncode == 0, again.stderr
    sweeps.check_each_trial_once(third, total)
    if kind == "latent":
        done = command("evaluate", f"{bucket.uri}/far", "--fresh-seeds", "2")
        assert done.returncode == 0, done.stderr
        assert b'"test"' in (bucket.read("far/evaluation.json") or b"")
        assert bucket.read("far/test_access.jsonl")
