"""Small questions to pieces of syntax (pure)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Decorators that cannot act upon annotations or docstrings; others may.
QUIET_DECORATORS = frozenset(
    "staticmethod classmethod property setter getter deleter wraps lru_cache cache cached_property abstractmethod "  # noqa: SIM905  one word a line would hide them
    "contextmanager asynccontextmanager override final overload step pipeline total_ordering dataclass "
    "unique".split()
)


def arguments_of(arguments: ast.arguments) -> list[ast.arg]:
    """Return every parameter."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return every + [a for a in (arguments.vararg, arguments.kwarg) if a is not None]


def defaults_of(arguments: ast.arguments) -> list[tuple[str, ast.expr]]:
    """Return the parameters that have a default, with it."""
    positional = [*arguments.posonlyargs, *arguments.args]
    found = list(
        zip([a.arg for a in positional][len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
    )
    return found + [
        (a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None
    ]


def last_name(node: ast.expr) -> str:
    """Return the last word of a dotted name or of a call of one; empty for anything else."""
    match node:
        case ast.Call(func=func):
            return last_name(func)
        case ast.Attribute(attr=attr):
            return attr
        case ast.Name(id=name):
            return name
        case _:
            return ""


def is_quiet(decorators: Sequence[ast.expr]) -> bool:
    """Tell whether decorators cannot act upon annotations or docstrings."""
    return all(last_name(decorator) in QUIET_DECORATORS for decorator in decorators)


def is_type_checking(node: ast.AST) -> bool:
    """Tell whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


def is_idle(node: ast.stmt) -> bool:
    """Tell whether a statement does nothing: ``pass``, a docstring or another lone constant."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def dotted(node: ast.expr) -> tuple[ast.Name, tuple[str, ...]] | None:
    """Return the name and the attributes of ``a.b.c``; None for anything else."""
    chain: list[str] = []
    while isinstance(node, ast.Attribute):
        chain.append(node.attr)
        node = node.value
    return (node, tuple(reversed(chain))) if isinstance(node, ast.Name) else None


def constant_token(value: object) -> str:
    """Write a literal so that values of different types differ."""
    return f"={type(value).__name__}:{value!r}"
