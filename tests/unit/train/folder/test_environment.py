"""What a run notes of where it ran."""

import subprocess

from interbert.train.folder import run_folder


def test_an_installed_package_has_no_commit(tmp_path, monkeypatch):
    """Of an environment that lies in someone's repository, that repository's would be told."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "one"], check=True)
    where = tmp_path / ".venv" / "lib" / "interbert" / "train" / "folder"
    where.mkdir(parents=True)
    monkeypatch.setattr(run_folder, "__file__", str(where / "run_folder.py"))
    assert run_folder.described_checkout() == {"commit": None, "changed": []}
    (tmp_path / "interbert" / "train" / "folder").mkdir(parents=True)
    (tmp_path / "own.txt").touch()
    monkeypatch.setattr(
        run_folder, "__file__", str(tmp_path / "interbert" / "train" / "folder" / "run_folder.py")
    )
    found = run_folder.described_checkout()
    assert len(found["commit"]) == 40 and found["changed"] == ["?? own.txt"]
