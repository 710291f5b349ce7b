"""A rename that fails: what is replaced by renames, models and indexes, is tested with one that dies or is refused midway."""

from pathlib import Path


def fail_second_rename(monkeypatch, error):
    """The second call of `Path.rename` from now on raises the error; all others rename."""
    original, calls = Path.rename, []

    def rename(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise error
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
