"""Steps that are commands: a program's arguments, with places for the files that go in and come out.

::

    fit = command("Rscript model.R {data} {out}", outputs=".rds", files=["model.R"])
    model = fit(data=table)  # in a pipeline function; `model` is a File

A place ``{name}`` is an output, or else an input: the path of a file or folder, or the text of a plain value. Double
the braces to write one. Outputs are one file (its suffix; it is called ``out``), several files (name → suffix), or
the fields of a frozen dataclass or NamedTuple. A suffix ``"/"`` means a folder.
"""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Never,
    TypeAlias,
    TypeVar,
    Unpack,
    cast,
    get_args,
    get_origin,
    overload,
)

from headwater import expr as exprs
from headwater.author import annotations as types
from headwater.author.calls import Over
from headwater.author.drawing import required, result_of
from headwater.author.options import CallOptions, Settings, StepOptions, with_options
from headwater.author.refs import Drawn, Ref, author_line, drawn, lift
from headwater.errors import DefinitionError
from headwater.graph import Output

if TYPE_CHECKING:
    from headwater.artifacts import File
    from headwater.digest import Json

T = TypeVar("T")

#: One suffix, named suffixes, or a class whose fields are files and folders; None for a command run for its effect.
Outputs: TypeAlias = str | Mapping[str, str] | type[Any] | None


class CommandOptions(StepOptions, total=False):
    """Options of ``command``: those of a step, and those of a command line."""

    #: Names of the inputs, with their types where these should be checked; else every place that is no output.
    inputs: Sequence[str] | Mapping[str, type[object]]
    #: The output that takes what the command prints.
    stdout: str
    #: Hand the line to the system's shell, places quoted.
    shell: bool


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """What a command runs, and what goes in and comes out."""

    name: str
    argv: tuple[str, ...]
    shell: bool
    #: Scripts that the command needs, relative to the project; their content is part of the key.
    files: tuple[str, ...]
    #: Input → its type, ``object`` where none is declared.
    inputs: Mapping[str, object]
    outputs: tuple[Output, ...]
    #: Output → suffix of its file.
    suffixes: Mapping[str, str]
    #: The output that takes what the command prints.
    stdout: str | None
    #: What was declared: it decides what the author gets.
    declared: Outputs

    def document(self) -> dict[str, Json]:
        """Return what a worker needs to know, as JSON."""
        return {
            "argv": list(self.argv),
            "shell": self.shell,
            "files": list(self.files),
            "stdout": self.stdout,
            "suffixes": dict(self.suffixes),
        }


class Command(Generic[T]):
    """A command that is a step. Called in a pipeline function with its inputs by name, it adds a node."""

    def __init__(self, spec: CommandSpec, settings: Settings) -> None:
        #: What is run, with which inputs and outputs.
        self.spec = spec
        #: Checked options.
        self.settings = settings

    def __call__(self, *misplaced: Never, **inputs: object) -> T:
        """Draw it as a step, with its inputs by name."""
        spec = self.spec
        drawing = required(f"the command '{spec.name}'")
        if misplaced:
            raise DefinitionError(
                f"the command '{spec.name}' takes its inputs by name",
                facts={"line": author_line(), "inputs": ", ".join(spec.inputs) or "none"},
                hint=f"{spec.name}({', '.join(f'{name}=…' for name in spec.inputs)})",
            )
        _check_inputs(spec, inputs)
        given = {name: lift(value) for name, value in inputs.items()}
        whole = types.entry_of(spec.declared) if isinstance(spec.declared, type) else None
        call, outputs = spec.document(), spec.outputs
        node = drawing.add("command", spec.name, self.settings, call=call, inputs=given, outputs=outputs, whole=whole)
        if isinstance(spec.declared, type):
            return cast("T", result_of(node, spec.declared, named=bool(types.named_fields(spec.declared))))
        return cast("T", _result(node.name, spec))

    def using(self, **options: Unpack[CallOptions]) -> Command[T]:
        """Return the same command with other options."""
        return Command(self.spec, with_options(self.settings, options, CallOptions))

    def __repr__(self) -> str:
        return f"<command {self.spec.name}>"


@overload
def command(line: str | Sequence[str], /, *, outputs: str, **options: Unpack[CommandOptions]) -> Command[File]: ...
@overload
def command(
    line: str | Sequence[str], /, *, outputs: Mapping[str, str], **options: Unpack[CommandOptions]
) -> Command[dict[str, File]]: ...
@overload
def command(line: str | Sequence[str], /, *, outputs: type[T], **options: Unpack[CommandOptions]) -> Command[T]: ...
@overload
def command(
    line: str | Sequence[str], /, *, outputs: None = None, **options: Unpack[CommandOptions]
) -> Command[None]: ...
def command(
    line: str | Sequence[str], /, *, outputs: Outputs = None, **options: Unpack[CommandOptions]
) -> Command[Any]:
    """Make a step of a command line; no shell sees it unless ``shell=True``."""
    given: dict[str, object] = dict(options)
    declared, stdout, shell = given.pop("inputs", None), given.pop("stdout", None), given.pop("shell", False)
    files = given.pop("files", ())
    settings = with_options(Settings(), given, CommandOptions)
    argv = _argv(line, shell=shell is True)
    name, suffixes = settings.name or PurePath(argv[0]).stem, _suffixes(outputs)
    places = _places(name, argv)
    spec = CommandSpec(
        name=name,
        argv=argv,
        shell=shell is True,
        files=with_options(Settings(), {"files": files}, CommandOptions).options.files,
        inputs=_inputs(declared, [place for place in places if place not in suffixes]),
        outputs=tuple(Output(each, "dir" if suffix == "/" else "file") for each, suffix in suffixes.items()),
        suffixes=suffixes,
        stdout=None if stdout is None else str(stdout),
        declared=outputs,
    )
    _check_places(spec, places)
    return Command(spec, Settings(settings.options))


def _argv(line: str | Sequence[str], *, shell: bool) -> tuple[str, ...]:
    words = line if not isinstance(line, str) else [line] if shell else shlex.split(line)
    argv = tuple(map(str, words))
    if not argv or not argv[0].strip():
        raise DefinitionError("a command needs a program to run", facts={"line": author_line()})
    return argv


def _suffixes(outputs: Outputs) -> dict[str, str]:
    if outputs is None or isinstance(outputs, str):
        return {} if outputs is None else {"out": outputs}
    if isinstance(outputs, Mapping):
        return dict(outputs)
    fields = types.fields_of(outputs)
    if not fields or not all(types.is_file(types.bare(field)) for field in fields.values()):
        raise DefinitionError(
            f"'{types.name(outputs)}' cannot be the outputs of a command",
            facts={"line": author_line()},
            hint="use a frozen dataclass or NamedTuple whose fields are File or Dir",
        )
    return {name: _suffix(field) for name, field in fields.items()}


def _suffix(field: object) -> str:
    if getattr(types.bare(field), "__qualname__", "") == "Dir":
        return "/"
    extras = get_args(field)[1:] if get_origin(field) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, str)), "")


def _places(name: str, argv: Sequence[str]) -> list[str]:
    """Return the names in braces, in order, each once."""
    found: dict[str, None] = {}
    for part in argv:
        try:
            for _, place, form, conversion in string.Formatter().parse(part):
                if place is not None and (not place.isidentifier() or form or conversion):
                    raise ValueError(place)  # noqa: TRY301  the parser's own errors end in the same place
                found |= {} if place is None else {place: None}
        except ValueError as error:
            facts = {"line": author_line(), "argument": part, "why": error}
            hint = "a place is {name}; write a brace as {{ or }}"
            raise DefinitionError(f"the command '{name}' has a place that is no name", facts=facts, hint=hint) from None
    return list(found)


def _inputs(declared: object, places: Sequence[str]) -> dict[str, object]:
    if isinstance(declared, Mapping):
        return dict(cast("Mapping[str, object]", declared))
    return dict.fromkeys(places if declared is None else cast("Sequence[str]", declared), object)


def _check_places(spec: CommandSpec, places: Sequence[str]) -> None:
    outputs = {output.name for output in spec.outputs}
    facts: dict[str, object] = {"line": author_line(), "command": " ".join(spec.argv)}
    for place in places:
        if place not in outputs and place not in spec.inputs:
            hint = types.nearest(place, [*spec.inputs, *outputs])
            raise DefinitionError(f"the command '{spec.name}' has no input or output '{place}'", facts=facts, hint=hint)
    if spec.stdout is not None and spec.stdout not in outputs:
        raise DefinitionError(f"the command '{spec.name}' has no output '{spec.stdout}' to print to", facts=facts)
    for output in spec.outputs:
        if output.name not in places and output.name != spec.stdout:
            hint = f'name it in the line as {{{output.name}}}, or give stdout="{output.name}"'
            raise DefinitionError(f"the command '{spec.name}' never writes '{output.name}'", facts=facts, hint=hint)


def _check_inputs(spec: CommandSpec, given: Mapping[str, object]) -> None:
    facts = {"line": author_line(), "inputs": ", ".join(spec.inputs) or "none"}
    for name in given:
        if name not in spec.inputs:
            hint = types.nearest(name, spec.inputs)
            raise DefinitionError(f"the command '{spec.name}' has no input '{name}'", facts=facts, hint=hint)
    for name, type_ in spec.inputs.items():
        if isinstance(given.get(name), Over):
            hint = "call the command for each: [… for item in items], or map a step that calls the program"
            raise DefinitionError(f"over(…) for '{name}': a command cannot be mapped", facts=facts, hint=hint)
        if name not in given:
            raise DefinitionError(f"the command '{spec.name}' needs the input '{name}'", facts=facts)
        found = types.bare(drawn(value).type) if isinstance(value := given[name], Ref) else type(value)
        if types.says_something(found) and isinstance(type_, type) and not issubclass(found, type_):
            facts |= {"wanted": types.name(type_), "given": types.name(found)}
            raise DefinitionError(f"the command '{spec.name}' wants another type for '{name}'", facts=facts)


def _result(node: str, spec: CommandSpec) -> Ref:
    """Return what a call gives where the outputs are no class: nothing, one file, or a dict of files."""
    if not spec.outputs:
        return Ref(Drawn(exprs.Out(node), type(None)))
    if isinstance(spec.declared, str):
        return Ref(Drawn(exprs.Out(node, spec.outputs[0].name)))
    parts: dict[str, exprs.Expr] = {output.name: exprs.Out(node, output.name) for output in spec.outputs}
    return Ref(Drawn(exprs.Dict(parts), dict[str, Any]))
