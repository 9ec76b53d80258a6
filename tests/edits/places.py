"""Where the files of a row lie."""

from __future__ import annotations


def write(files, tmp):
    """Write files, or delete them, below the folder around the project."""
    for name, text in files.items():
        kind, _, rest = name.rpartition(":")
        path = {"": tmp / "project", "site": tmp / "site", "beside": tmp}[kind] / rest
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{tmp}", str(tmp)))
