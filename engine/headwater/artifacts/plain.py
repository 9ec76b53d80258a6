"""Codecs of plain values, of bytes as they are, and of pickles for whom asks."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, cast

from headwater import values
from headwater.artifacts.paths import Dir, File
from headwater.artifacts.trees import checked_file, encode_tree, read_tree, stable_name, unpack_tree
from headwater.digest import canonical
from headwater.errors import TrustError, ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.artifacts.seam import Sink, Source
    from headwater.digest import Digest, Json


class JsonCodec:
    """Plain values, dataclasses, enums and nests of them, as typed canonical JSON.

    Files and folders inside a value are objects of their own: ``{"$": "file", "v": {digest, suffix, bytes}}`` and
    ``{"$": "dir", "v": {digest}}``. What the value names, directly or through a tree object, is in the meta under
    ``refs``; those of them that are tree objects, under ``trees``.
    """

    name = "json"

    def matches(self, value: object) -> bool:
        """Tell whether the value could be plain; what is inside is seen when it is encoded."""
        return not isinstance(value, bytes | File | Dir)

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Write the value's canonical form; raises ValueNotStorable, naming the place inside the value."""
        nested = _Nested(sink)
        tree = values.to_json(value, extra=nested.tree)
        sink.write(canonical(tree))
        found = {"types": values.types_in(tree), "refs": nested.refs, "trees": nested.trees}
        return {key: cast("Json", sorted(names)) for key, names in found.items() if names}

    def decode(self, source: Source) -> object:
        """Return the value, with a private copy of each file and folder in it."""
        return values.from_json(values.parse(source.read()), source.load, extra=lambda tree: _restored(tree, source))


class _Nested:
    """Stores the files and folders found inside one value."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.refs: set[Digest] = set()
        self.trees: set[Digest] = set()

    def tree(self, value: object) -> Json | None:
        if isinstance(value, File):
            digest, size = self._sink.put_file(checked_file(value))
            self.refs.add(digest)
            return {"$": "file", "v": {"digest": digest, "suffix": "".join(value.suffixes), "bytes": size}}
        if isinstance(value, Dir):
            body = encode_tree(value, self._sink)
            (digest,) = self._sink.put([body])
            self.trees.add(digest)
            self.refs |= {digest, *(member for _, member, _, _ in read_tree(body) if member is not None)}
            return {"$": "dir", "v": {"digest": digest}}
        return None


def _restored(tree: Mapping[str, Json], source: Source) -> object:
    inside = cast("Mapping[str, Json]", tree.get("v", {}))
    digest = cast("str", inside.get("digest"))
    match tree.get("$"):
        case "file":
            name = stable_name("file", digest, cast("str", inside["suffix"]).replace("/", "_"))
            path = source.folder("value") / name
            source.fetch_object(digest, path)
            return File(path)
        case "dir":
            folder = source.folder(stable_name("dir", digest))
            unpack_tree(source.get([digest])[digest], folder, source)
            return Dir(folder)
        case _:
            return values.from_json(dict(tree))  # raises, saying that the form is not known


class BytesCodec:
    """Bytes, as they are."""

    name = "bytes"

    def matches(self, value: object) -> bool:
        """Tell whether the value is plain bytes."""
        return type(value) is bytes

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Write the bytes."""
        sink.write(cast("bytes", value))
        return {}

    def decode(self, source: Source) -> bytes:
        """Return the bytes."""
        return source.read()


class PickleCodec:
    """Anything that pickles, only for whom asks: equal values may have different bodies, and reading runs code."""

    name = "pickle"

    def matches(self, value: object) -> bool:  # noqa: ARG002  whoever asks for pickle means any value
        """Tell that anything may be tried."""
        return True

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Pickle the value."""
        try:
            pickle.dump(value, sink, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise ValueNotStorable(
                f"a value of type {type(value).__module__}.{type(value).__qualname__} cannot be pickled",
                facts={"because": f"{type(error).__name__}: {error}"},
                hint="return a File that you write yourself",
            ) from error
        return {"pickle": True}

    def decode(self, source: Source) -> object:
        """Unpickle the value, if whoever wrote it is trusted."""
        if not source.trusted:
            raise TrustError(
                "this value is a pickle from a writer that is not trusted, and reading it would run that writer's code",
                facts={"digest": source.digest},
                hint="trust the writer with `hw trust`, or run the step again here",
            )
        return pickle.loads(source.read())  # noqa: S301  trusted: see above
