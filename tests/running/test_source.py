import subprocess

import pytest

from robustbench_rec.running.source import commit


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a package in a checkout of one commit, and a function that runs git there."""
    for word in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{word}_NAME", "a")
        monkeypatch.setenv(f"GIT_{word}_EMAIL", "a@b")
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("a = 1\n")

    def git(*words):
        done = subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("tag", "-m", "not this", "v1")
    return package, git


def test_a_checkout_has_a_commit_that_says_whether_files_were_changed(package):
    package, git = package
    head = git("rev-parse", "HEAD")
    assert commit.__wrapped__(package) == head
    (package / "a.py").write_text("a = 2\n")
    assert commit.__wrapped__(package) == f"{head}-dirty"


def test_without_a_checkout_or_git_there_is_no_commit(package, tmp_path, monkeypatch):
    assert commit.__wrapped__(package[0] / "installed") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit.__wrapped__(package[0]) == ""
