"""Jobs outlive whoever works on them, and each is answered once."""

import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bonafide.errors import StorageError
from serving.jobs.store import MOST_TRIES, RETRY_S, Job, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "jobs")
    yield opened
    opened.close()


def added(store: Store, callback: str = "", owner: str = "") -> str:
    job_id = store.new_id()
    store.audio(job_id).write_bytes(b"sound")
    store.begin(job_id, owner, "detect", callback)
    store.accept(job_id)
    return job_id


def claimed(store: Store) -> Job:
    job = store.claim(["detect"])
    assert job is not None
    return job


def test_they_are_taken_in_order_and_kept_once_answered(store: Store) -> None:
    first, second = added(store, owner="ana"), added(store)
    job = claimed(store)
    assert (job.id, job.owner, job.status, job.tries) == (first, "ana", "running", 1)
    assert claimed(store).id == second and store.claim(["detect"]) is None and store.waiting() == 2
    assert store.finish(job, "done", '{"verdict": "spoof"}')
    assert not store.finish(job, "done", "{}")  # once
    found = store.find(first)
    assert found is not None and (found.status, found.answer) == ("done", '{"verdict": "spoof"}')
    assert not store.audio(first).exists() and store.audio(second).exists()
    assert store.waiting() == 1


def test_one_that_could_not_be_tried_waits_again(store: Store) -> None:
    job_id = added(store)
    for _ in range(3 * MOST_TRIES):
        store.give_back(claimed(store))
    job = claimed(store)
    assert (job.id, job.tries) == (job_id, 1)


def test_who_comes_too_late_leaves_its_recording_alone(store: Store) -> None:
    """A worker that is cancelled gives a job back while a thread of its still finishes it."""
    job_id = added(store)
    job = claimed(store)
    store.give_back(job)
    assert not store.finish(job, "done", "{}")
    assert store.audio(job_id).exists() and claimed(store).id == job_id


def test_only_what_is_served_is_taken(store: Store) -> None:
    job_id = added(store)
    assert store.claim(["explain", "it's"]) is None and store.claim([]) is None
    assert claimed(store).id == job_id


def test_a_folder_that_is_made_anew_is_used(store: Store) -> None:
    shutil.rmtree(store.folder)
    with pytest.raises(StorageError):
        store.waiting()
    store.folder.mkdir(mode=0o700)
    store.take_back()
    job_id = added(store)
    assert claimed(store).id == job_id
    (other := Store(store.folder)).take_back()  # this worker is seen to live
    assert other.claim(["detect"]) is None
    other.close()


def test_one_that_is_removed_is_nobodys(store: Store) -> None:
    job_id = added(store)
    job = claimed(store)
    store.remove(job_id)
    assert store.find(job_id) is None and not store.audio(job_id).exists()
    assert not store.finish(job, "done", "{}") and store.find(job_id) is None


def test_many_at_once_take_each_once(tmp_path: Path) -> None:
    stores = [Store(tmp_path) for _ in range(4)]
    ids = {added(stores[0]) for _ in range(60)}

    def work(own: Store) -> list[str]:
        taken = []
        while job := own.claim(["detect"]):
            taken.append(job.id)
            assert own.finish(job, "done", "{}")
        return taken

    with ThreadPoolExecutor(4) as workers:
        taken = [job for each in workers.map(work, stores) for job in each]
    assert len(taken) == 60 and set(taken) == ids
    for each in stores:
        each.close()


def claim_and_die(folder: Path) -> None:
    store = Store(folder)
    store.begin(job_id := store.new_id(), "", "detect", "")
    store.audio(job_id).write_bytes(b"half of it")
    store.claim(["detect"])
    store.claim_callback()
    os._exit(9)


def test_what_a_worker_had_in_hand_that_was_killed_waits_again(store: Store) -> None:
    done = added(store, callback="https://example.com/")
    assert store.finish(claimed(store), "done", "{}")
    held = added(store)
    child = multiprocessing.get_context("spawn").Process(target=claim_and_die, args=(store.folder,))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    assert store.claim(["detect"]) is None and store.claim_callback() is None
    assert store.waiting() == 2 and len(list(store.folder.glob("*.audio"))) == 2
    store.take_back()
    assert [each.stem for each in store.folder.glob("*.audio")] == [held]
    assert claimed(store).id == held and store.waiting() == 1
    told = store.claim_callback()
    assert told is not None and told.id == done and told.attempts == 2
    store.take_back()  # this worker lives
    assert store.claim(["detect"]) is None and store.claim_callback() is None
    assert len(list(store.folder.glob("worker-*"))) == 1  # of the other nothing is left


def test_one_over_which_many_ended_is_given_up(store: Store, tmp_path: Path) -> None:
    job_id = added(store)
    for _ in range(MOST_TRIES):
        other = Store(store.folder)
        assert other.claim(["detect"]) is not None
        other.close()  # as its end does
    found = store.find(job_id)
    assert found is not None and found.status == "failed"
    assert '"decoder_crashed"' in found.answer and store.claim(["detect"]) is None


def test_a_callback_that_fails_is_tried_again_and_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, now = added(store, callback="https://example.com/"), time.time()
    assert store.claim_callback() is None  # not before it is answered
    assert store.finish(claimed(store), "failed", "{}")
    for wait_s in (*RETRY_S, None):
        told = store.claim_callback()
        assert told is not None
        store.called(told, delivered=False)
        assert store.claim_callback() is None  # not yet
        if wait_s is not None:
            now += wait_s + 60
            monkeypatch.setattr(time, "time", lambda now=now: now)
    found = store.find(job_id)
    assert found is not None and (found.told, found.attempts) == ("failed", len(RETRY_S) + 1)


def test_a_callback_that_is_taken_is_not_sent_again(store: Store) -> None:
    for final, expected in ((False, "delivered"), (True, "failed")):
        job_id = added(store, callback="https://example.com/")
        assert store.finish(claimed(store), "done", "{}")
        told = store.claim_callback()
        assert told is not None
        store.called(told, delivered=not final, final=final)
        found = store.find(job_id)
        assert found is not None and found.told == expected
    assert store.claim_callback() is None


def test_what_is_old_is_forgotten_and_what_waits_is_not(store: Store) -> None:
    old, waits = added(store), added(store)
    told = added(store, callback="https://example.com/")
    assert store.finish(claimed(store), "done", "{}")
    store.give_back(claimed(store))
    (orphan := store.folder / "orphan.audio").write_bytes(b"left by a killed worker")
    store.sweep(keep_s=0)
    assert store.find(old) is None and store.find(waits) is not None
    assert store.find(told) is not None and not orphan.exists()
    assert store.audio(waits).exists()


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as seen:
        Store(tmp_path / "file")
    assert seen.value.code == "unwritable"
    (tmp_path / "jobs.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="cannot be used"):
        Store(tmp_path)


def test_the_folder_is_its_owners_alone(store: Store) -> None:
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert (store.folder / "jobs.sqlite").stat().st_mode & 0o777 == 0o600
