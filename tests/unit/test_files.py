import subprocess

import pytest

from interbert import files


def test_sums_are_those_of_sha256sum(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_bytes(b"\0two")
    files.write_sums(tmp_path)
    done = subprocess.run(["sha256sum", "-c", files.SUMS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "a: OK\nb: OK\n"
    files.check_sums(tmp_path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "a").write_text("another"), "a: its sha256 is .* says"),
        (lambda folder: (folder / "a").unlink(), "a: its sha256 is missing"),
        (lambda folder: (folder / files.SUMS).write_text("nothing"), "line 1: not a sum and a name"),
        (lambda folder: (folder / files.SUMS).write_text("0  ../a"), "line 1: not a sum and a name"),
    ],
)
def test_what_does_not_fit_the_sums_is_named(tmp_path, harm, words):
    (tmp_path / "a").write_text("one")
    files.write_sums(tmp_path)
    harm(tmp_path)
    with pytest.raises(ValueError, match=words):
        files.check_sums(tmp_path)


def test_a_folder_without_sums_is_taken_as_it_is(tmp_path):
    files.check_sums(tmp_path)


def test_a_full_disk_does_not_keep_a_state_from_being_told(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    files.write_json(path, {"state": "running", "reason": "a long one" * 20})

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    files.replace_json(path, {"state": "failed"})
    assert files.read_json(path) == {"state": "failed"}
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]
