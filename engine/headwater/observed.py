"""Labels of what a step was seen to use without declaring it, and what that holds now.

The label of a file is ``project:<relative posix path>`` or ``file:<absolute path>``; its value is the digest of the
content, ``absent`` where there is nothing, ``listing:<digest>`` for the names in a folder. A file that changed while
the step ran has the value ``unstable``, which is the value of no file: such a step runs again.

Where a step only asked about a file, the label is ``project?:`` or ``file?:`` with the value ``absent``, ``file`` or
``folder``; where it asked how large it is, ``project#:`` or ``file#:`` with ``absent``, ``folder`` or the number of
bytes.

The label of an environment variable is ``env:<name>``, its value the digest of the text or ``absent``; where only
counts whether it is there, the label is ``env?:<name>`` and the value ``present`` or ``absent``. Of a variable that
looks like a secret only that is told, for its digest could be compared with those of guesses.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.digest import digest_bytes, digest_of, digest_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headwater.digest import Digest

ABSENT = "absent"
UNSTABLE = "unstable"
LISTING = "listing:"
PRESENT = "present"
#: What may be asked of a file without opening it.
WHETHER, SIZE = "?", "#"

_PROJECT = "project:"
_FILE = "file:"
_VARIABLE = "env:"
_WHETHER_VARIABLE = "env?:"
_SECRET = re.compile(r"key|token|secret|passw|pwd|credential|private|auth|signature|cookie|session|dsn", re.IGNORECASE)
#: Names in a folder that come and go by themselves.
_FLEETING = frozenset({"__pycache__", ".headwater", ".ipynb_checkpoints", ".pytest_cache"})


def label_of(path: str, project: str) -> str:
    """Return the label of an absolute path."""
    for root in (project, os.path.realpath(project)) if project else ():
        if path == root or path.startswith(root.rstrip(os.sep) + os.sep):
            return _PROJECT + Path(path).relative_to(root).as_posix()
    return _FILE + path


def label_of_question(path: str, project: str, what: str) -> str:
    """Return the label of a question about an absolute path."""
    kind, _, rest = label_of(path, project).partition(":")
    return f"{kind}{what}:{rest}"


def question_of(label: str) -> str | None:
    """Return what a label asks of a file: WHETHER or SIZE; None for a file that was opened, and for a variable."""
    kind = label.partition(":")[0]
    is_question = kind[:-1] in (_PROJECT[:-1], _FILE[:-1]) and kind[-1:] in (WHETHER, SIZE)
    return kind[-1] if is_question else None


def is_file(label: str) -> bool:
    """Tell whether a label is about the content of a file or folder."""
    return variable_of(label) is None and question_of(label) is None


def answer(path: str | Path, what: str) -> str:
    """Return the answer to a question about a path, as it is now."""
    try:
        state = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return ABSENT
    if stat.S_ISDIR(state.st_mode):
        return "folder"
    return str(state.st_size) if what == SIZE else "file"


def label_of_variable(name: str, *, only_whether: bool = False) -> str:
    """Return the label of an environment variable, or of whether it is there."""
    return (_WHETHER_VARIABLE if only_whether or is_secret(name) else _VARIABLE) + name


def is_secret(name: str) -> bool:
    """Tell whether a variable has the name of a secret: neither its value nor a digest is written anywhere."""
    return _SECRET.search(name) is not None


def variable_of(label: str) -> str | None:
    """Return the name of the environment variable that a label is about; None for a file."""
    kind, _, name = label.partition(":")
    return name if f"{kind}:" in (_VARIABLE, _WHETHER_VARIABLE) else None


def value_of_variable(label: str, environ: Mapping[str, str]) -> str:
    """Return what a label says of a variable among those of an environment."""
    value = environ.get(variable_of(label) or "")
    if value is None:
        return ABSENT
    return PRESENT if label.startswith(_WHETHER_VARIABLE) else digest_bytes(os.fsencode(value))


def path_of(label: str, project: str) -> Path:
    """Return the path that a label names on this machine."""
    kind, _, rest = label.partition(":")
    return Path(project, rest) if f"{kind.rstrip(WHETHER + SIZE)}:" == _PROJECT else Path(rest)


def current(label: str, project: str, *, digest: Callable[[Path], Digest] | None = None) -> str:
    """Return the value of a label now. ``digest`` may be one that remembers files it has read."""
    if variable_of(label) is not None:
        return value_of_variable(label, os.environ)
    if (what := question_of(label)) is not None:
        return answer(path_of(label, project), what)
    return value_of(path_of(label, project), digest=digest)


def value_of(path: Path, *, digest: Callable[[Path], Digest] | None = None) -> str:
    """Return what a label says of the content of a path."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return LISTING + digest_of(_names(path))
        if not stat.S_ISREG(mode):
            return UNSTABLE
        return (digest or _digest)(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError:
        return UNSTABLE


def walk(path: Path) -> Iterator[Path]:
    """Yield a path, and all that is below it if it is a folder; not what comes and goes by itself."""
    if path.name in _FLEETING or path.name.endswith(".pyc"):
        return
    yield path
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(path.iterdir()):
            yield from walk(inner)


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name + ("/" if entry.is_dir() else "")
            for entry in entries
            if entry.name not in _FLEETING and not entry.name.endswith(".pyc")
        )


def _digest(path: Path) -> Digest:
    with path.open("rb") as stream:
        return digest_stream(stream)[0]
