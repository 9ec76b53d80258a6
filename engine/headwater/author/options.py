"""What an author may say about a step beside its arguments, checked when it is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict, cast

from headwater.author.annotations import name as type_name
from headwater.author.annotations import nearest
from headwater.author.refs import author_line
from headwater.errors import DefinitionError, RequestError
from headwater.graph import Options
from headwater.types import Resources, Retry, parse_seconds


class StepOptions(TypedDict, total=False):
    """Options of ``@step``: what the step needs, and what its results depend on beside its inputs."""

    #: Name in the pipeline, instead of the function's.
    name: str
    #: What it needs: cores, memory, GPUs, other named capacities. It waits until they are free.
    resources: Resources
    #: How often to try again after the step's own failure; a number is `Retry(number)`.
    retry: Retry | int
    #: How long one attempt may take: seconds, or text such as ``"5m"``.
    timeout: float | str | None
    #: Environment variables to set; they are part of the key.
    env: Mapping[str, str]
    #: Names of secrets, resolved at the worker; never recorded.
    secrets: Sequence[str]
    #: How old a result may be and still be reused: seconds, or text such as ``"1d"``.
    fresh: float | str | None
    #: ``"once"``: an effect that is not repeated while its key stays the same.
    effect: Literal["once"] | None
    #: Stands for the code instead of its fingerprint.
    version: str | None
    #: Run in a process of its own, hide undeclared variables, refuse undeclared reads.
    strict: bool
    #: Among steps that could start, the higher goes first.
    priority: int
    #: Files whose content is part of the key.
    files: Sequence[str]
    #: Distributions whose versions are part of the key.
    packages: Sequence[str]
    #: Group whose size, set in the profile, limits how many of its steps run at once.
    limit: str | None
    #: Whether an earlier result may stand in.
    reuse: bool


class CallOptions(StepOptions, total=False):
    """Options of ``.using(...)``: those of the step, and those of one call of it."""

    #: Where this step runs, whatever the profile says.
    backend: str | None
    #: Results (or names) of steps that must have ended before.
    after: Sequence[object]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a step, checked."""

    options: Options = field(default_factory=Options)
    #: The explicit name, or None.
    name: str | None = None
    after: tuple[object, ...] = ()


def with_options(settings: Settings, given: Mapping[str, object], allowed: type[object]) -> Settings:
    """Return settings with some options set anew; raises DefinitionError for one that is unknown or wrong."""
    values: dict[str, object] = {}
    for name, value in given.items():
        if name not in allowed.__annotations__:
            _refuse_name(name, allowed)
        values[name] = _checked(name, value)
    explicit = cast("str | None", values.pop("name", settings.name))
    after = cast("tuple[object, ...]", values.pop("after", settings.after))
    return Settings(replace(settings.options, **values), explicit, after)  # type: ignore[arg-type]


def _refuse_name(name: str, allowed: type[object]) -> None:
    hint = nearest(name, allowed.__annotations__)
    if name == "backend":
        hint = "where a step runs is for the profile; for an exception: step.using(backend=…)(…)"
    facts = {"line": author_line(), "options": ", ".join(allowed.__annotations__)}
    raise DefinitionError(f"a step has no option '{name}'", facts=facts, hint=hint)


def _checked(name: str, value: object) -> object:
    try:
        return _CHECKS[name](value)
    except (TypeError, ValueError, RequestError) as error:
        facts = {"line": author_line(), "given": repr(value), "allowed": _ALLOWED.get(name, str(error))}
        raise DefinitionError(f"the option '{name}' cannot be this", facts=facts) from None


def _of(*kinds: type[object]) -> Callable[[object], object]:
    def check(value: object) -> object:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(" or ".join(map(type_name, kinds)))
        return value

    return check


def _retry(value: object) -> Retry:
    retry = Retry(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(retry, Retry) or retry.times < 0 or retry.wait_seconds < 0:
        raise TypeError
    return retry


def _resources(value: object) -> Resources:
    if not isinstance(value, Resources) or value.cpus < 0 or value.gpus < 0:
        raise TypeError
    _ = value.memory_bytes  # raises where it is no size
    return value


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    seconds = parse_seconds(cast("float | str", value))
    if seconds < 0:
        raise ValueError
    return seconds


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError
    items = cast("Sequence[object]", value)
    if not all(isinstance(item, str) for item in items):
        raise TypeError
    return tuple(map(str, items))


def _env(value: object) -> dict[str, str]:
    items = dict(cast("Mapping[object, object]", value))
    if not all(isinstance(text, str) for pair in items.items() for text in pair):
        raise TypeError
    return {str(key): str(text) for key, text in sorted(cast("dict[str, str]", items).items())}


def _effect(value: object) -> object:
    if value not in {None, "once"}:
        raise ValueError
    return value


def _after(value: object) -> tuple[object, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError
    return tuple(cast("Sequence[object]", value))


_CHECKS: Mapping[str, Callable[[object], object]] = {
    "name": _of(str),
    "resources": _resources,
    "retry": _retry,
    "timeout": _seconds,
    "env": _env,
    "secrets": _names,
    "fresh": _seconds,
    "effect": _effect,
    "version": _of(str, type(None)),
    "strict": _of(bool),
    "priority": _of(int),
    "files": _names,
    "packages": _names,
    "limit": _of(str, type(None)),
    "reuse": _of(bool),
    "backend": _of(str, type(None)),
    "after": _after,
}

_ALLOWED: Mapping[str, str] = {
    "resources": 'Resources(cpus=…, memory="16GiB", gpus=…)',
    "retry": 'a number of further attempts, or Retry(3, wait="10s")',
    "timeout": 'seconds, or text such as "5m"',
    "fresh": 'seconds, or text such as "1d"',
    "env": "a mapping of text to text",
    "secrets": "a list of names",
    "files": "a list of paths",
    "packages": "a list of names of distributions",
    "effect": '"once" or None',
    "after": "a list of results or names of steps",
}
