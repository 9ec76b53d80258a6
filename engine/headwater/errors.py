"""Every error headwater raises on purpose, and the one shape they share.

HeadwaterError                     exit status 1
├── RequestError                   2  the request or the definition is wrong
│   ├── TargetError                   the pipeline file or name cannot be used
│   ├── ParameterError                a parameter is wrong, missing or unknown
│   ├── DefinitionError               the graph that was drawn cannot be run
│   ├── ConfigError                   headwater.toml says something impossible
│   └── PlanMismatch                  the saved plan no longer holds
├── SetupError                     3  the surroundings are not as needed
│   ├── StoreError                    the store cannot be used as asked
│   │   ├── ObjectMissing             no object of that digest
│   │   └── Corrupt                   bytes that are not what their name says
│   ├── ProviderError                 no such backend, codec, …; or its extra is missing
│   └── TrustError                    written by a key that is not trusted
├── StepError                      1  something inside a step went wrong
│   └── ValueNotStorable              a result that no codec can store
├── ContractError                  1  a plugin broke its word
├── RunFailed                      1  a run ended with failed steps
├── Superseded                     1  another driver took the run over
└── Interrupted                  130  stopped by the user

The text of an error is a sentence, then facts as aligned lines, then a hint that says what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class HeadwaterError(Exception):
    """The root: a sentence, facts that locate the trouble, and a hint on what to do."""

    #: Exit status of a command that ends with this error.
    exit_status = 1

    def __init__(
        self,
        sentence: str,
        *,
        facts: Mapping[str, object] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(sentence)
        #: One sentence: what is wrong.
        self.sentence = sentence
        #: Where: file, step, field, run, … in the order they are printed.
        self.facts: dict[str, object] = dict(facts or {})
        #: What to do next, or None.
        self.hint = hint

    def __str__(self) -> str:
        """Render the sentence, the facts as aligned lines, and the hint."""
        return render(self.sentence, self.facts, self.hint)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the facts and the hint when the error travels between processes."""
        return (_rebuild, (type(self), self.sentence, self.facts, self.hint))


def _rebuild(
    kind: type[HeadwaterError], sentence: str, facts: Mapping[str, object], hint: str | None
) -> HeadwaterError:
    return kind(sentence, facts=facts, hint=hint)


def render(sentence: str, facts: Mapping[str, object], hint: str | None) -> str:
    """Lay out an error's three parts as text."""
    width = max((len(name) for name in facts), default=0)
    lines = [sentence]
    for name, value in facts.items():
        text = str(value).replace("\n", "\n" + " " * (width + 4))
        lines.append(f"  {name.ljust(width)}  {text}")
    if hint:
        lines.append(f"  hint: {hint}")
    return "\n".join(lines)


class RequestError(HeadwaterError):
    """The request or the definition is wrong; running it again changes nothing."""

    exit_status = 2


class TargetError(RequestError):
    """The pipeline file or name cannot be used: missing, a syntax error, raised at import."""


class ParameterError(RequestError):
    """A pipeline parameter is wrong, missing or unknown."""


class DefinitionError(RequestError):
    """The graph that was drawn cannot be run: a cycle, a name twice, a value used too early."""


class ConfigError(RequestError):
    """A profile or setting in headwater.toml is unknown or impossible."""


class PlanMismatch(RequestError):
    """A saved plan no longer describes what a run would do."""


class SetupError(HeadwaterError):
    """The surroundings are not as needed: a store, a backend, an extra."""

    exit_status = 3


class StoreError(SetupError):
    """The store is missing, read-only, too new, or cannot create exclusively."""


class ObjectMissing(StoreError):
    """No object of that digest is in the store."""


class Corrupt(StoreError):
    """Stored bytes are not what their name or their chain says."""


class ProviderError(SetupError):
    """No provider of that name, or the package that it needs is not installed."""


class TrustError(SetupError):
    """Something was written by a key that this user does not trust."""


class StepError(HeadwaterError):
    """Something inside a step went wrong; the user's own exception is its cause."""


class ValueNotStorable(StepError):
    """A step returned a value that no codec can store."""


class ContractError(HeadwaterError):
    """A plugin broke its word; the plugin is named."""


class RunFailed(HeadwaterError):
    """A run ended with failed steps."""


class Superseded(HeadwaterError):
    """Another driver took over the run; this one stops without writing more."""


class Interrupted(HeadwaterError):
    """The user stopped the command."""

    exit_status = 130
