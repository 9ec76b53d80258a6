"""Whether the project's code remembers results between attempts (``functools.cache``).

What one attempt has read and remembered, the next one uses without reading it: then such a file counts for both.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from types import ModuleType

    Memo: TypeAlias = "functools._lru_cache_wrapper[Any]"  # noqa: SLF001


class Memos:
    """Finds the memos in modules of some files; modules are looked through again only when more are loaded."""

    def __init__(self, files: Container[str]) -> None:
        self._files = files
        self._seen = -1
        self._found: list[Memo] = []

    def are_filled(self) -> bool:
        """Tell whether any memo holds something."""
        if self._seen != len(sys.modules):
            modules = [module for module in list(sys.modules.values()) if _file(module) in self._files]
            self._found = [memo for module in modules for memo in _memos_in(module)]
            self._seen = len(sys.modules)
        return any(memo.cache_info().currsize for memo in self._found)


def _file(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else ""


def _memos_in(holder: object) -> Iterator[Memo]:
    for value in list(vars(holder).values()):
        if isinstance(value, functools._lru_cache_wrapper):  # noqa: SLF001  there is no public name
            yield value
        elif isinstance(value, type) and not isinstance(holder, type):
            yield from _memos_in(value)
