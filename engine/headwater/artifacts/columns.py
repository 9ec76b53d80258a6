# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false
# pyarrow ships no types, and makes its kernels when it is imported.

"""Arrow columns in canonical form: equal columns have equal buffers, however they were made.

Slices are cut out and their offsets begin at zero; what lies under nulls is zeroed; a column without nulls has no
bitmap; bits after the last are zero. Dictionaries hold just the values in use, in the order in which they first appear,
unless they are ordered: then all of them, in their order.

Everything is done with buffers and a few kernels, without NumPy, which the engine does not need. Bitmaps are handled as
Python integers: a bitwise operation on a quarter of a million bits takes microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headwater.errors import ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array stands: what it is done to depends on it."""

    #: Make dictionaries canonical; else they are as they should be, and stay.
    settle: bool = False
    #: Keep the values of unordered dictionaries that are not used, and their order.
    keep_unused: bool = False
    #: Bit of each element that counts; None for all. The others lie under a null of the array around this one.
    mask: int | None = None
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class _Bits:
    """Which elements of an array are shown, as bits; those that are null, or lie under a null, are not."""

    length: int
    shown: int
    #: The array's bitmap in canonical form, or None where nothing is null.
    validity: pa.Buffer | None

    @property
    def all_shown(self) -> bool:
        return self.shown == _ones(self.length)

    def selector(self) -> pa.Array:
        import pyarrow as pa

        return pa.Array.from_buffers(pa.bool_(), self.length, [None, _bitmap(self.shown, self.length)])


def canonical_array(array: pa.Array, place: Place) -> pa.Array:
    """Return an equal array in canonical form; raises ValueNotStorable for types that have none (unions)."""
    import pyarrow as pa
    from pyarrow import types

    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, canonical_array(array.storage, place))
    for test, rule in (
        (types.is_null, _null),
        (types.is_dictionary, _dictionary),
        (types.is_run_end_encoded, _run_ends),
        (_is_view, _view),
        (_is_list_view, _list_view),
        (_is_text, _text),
        (_is_list, _list),
        (types.is_fixed_size_list, _fixed_list),
        (types.is_struct, _struct),
        (types.is_boolean, _boolean),
        (_is_fixed, _fixed),
    ):
        if test(kind):
            return rule(array, place)
    raise ValueNotStorable(f"a column of the Arrow type {kind} cannot be stored", hint="cast it to another type")


def has_dictionary(kind: pa.DataType) -> bool:
    """Tell whether a type is, or holds, a dictionary."""
    import pyarrow as pa
    from pyarrow import types

    if isinstance(kind, pa.BaseExtensionType):
        return has_dictionary(kind.storage_type)
    if types.is_dictionary(kind):
        return True
    if types.is_run_end_encoded(kind):
        return has_dictionary(kind.value_type)
    return any(has_dictionary(kind.field(place).type) for place in range(kind.num_fields))


# ------------------------------------------------------------------------------------------------- bits and buffers


def _ones(length: int) -> int:
    return (1 << length) - 1


def _read_bits(buffer: pa.Buffer, offset: int, length: int) -> int:
    first, end = offset // 8, (offset + length + 7) // 8
    number = int.from_bytes(memoryview(buffer)[first:end], "little") >> (offset % 8)
    return number & _ones(length)


def _bitmap(bits: int, length: int) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(bits.to_bytes((length + 7) // 8, "little"))


def _bits(array: pa.Array, place: Place) -> _Bits:
    length = len(array)
    every = _ones(length)
    buffer = array.buffers()[0]
    own = every if buffer is None or not array.null_count else _read_bits(buffer, array.offset, length)
    shown = own if place.mask is None else own & place.mask
    # In a field that has no nulls, elements under a null of the struct around it are zeroed, but stay valid.
    valid = shown if place.nullable or own != every else every
    return _Bits(length, shown, None if valid == every else _bitmap(valid, length))


def _zeroed(data: pa.Buffer, width: int, bits: _Bits) -> pa.Buffer:
    """Return a buffer of elements with those that are not shown set to zero."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if bits.all_shown or not width:
        return data
    lane = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}.get(width) or pa.binary(width)
    elements = pa.Array.from_buffers(lane, bits.length, [None, data])
    zero = pa.scalar(bytes(width), lane) if pa.types.is_fixed_size_binary(lane) else pa.scalar(0, lane)
    clean = pc.if_else(bits.selector(), elements, zero)
    return clean.buffers()[1].slice(clean.offset * width, bits.length * width)


def _empty() -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(b"")


# ------------------------------------------------------------------------------------------------- fixed width


def _null(array: pa.Array, _: Place) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(len(array))


def _boolean(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa

    bits = _bits(array, place)
    values = _read_bits(array.buffers()[1], array.offset, bits.length) if bits.length else 0
    return pa.Array.from_buffers(array.type, bits.length, [bits.validity, _bitmap(values & bits.shown, bits.length)])


def _is_fixed(kind: pa.DataType) -> bool:
    try:
        width: int = kind.bit_width
    except ValueError:
        return False
    return width % 8 == 0


def _fixed(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa

    bits, width = _bits(array, place), array.type.bit_width // 8
    buffer = array.buffers()[1]
    data = _empty() if buffer is None else buffer.slice(array.offset * width, bits.length * width)
    return pa.Array.from_buffers(array.type, bits.length, [bits.validity, _zeroed(data, width, bits)])


# ------------------------------------------------------------------------------------------- text, lists, structs


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    return any(test(kind) for test in (types.is_string, types.is_binary, types.is_large_string, types.is_large_binary))


def _is_list(kind: pa.DataType) -> bool:
    from pyarrow import types

    return any(test(kind) for test in (types.is_list, types.is_large_list, types.is_map))


def _offset_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    is_large = types.is_large_string(kind) or types.is_large_binary(kind) or types.is_large_list(kind)
    return pa.int64() if is_large else pa.int32()


def _offsets(array: pa.Array) -> pa.Array:
    """Return the offsets of a slice, as they are: one more than it has elements."""
    import pyarrow as pa

    lane, buffer = _offset_type(array.type), array.buffers()[1]
    if buffer is None or not buffer.size:
        return pa.array([0], lane)
    return pa.Array.from_buffers(lane, len(array) + 1, [None, buffer], offset=array.offset)


def _from_zero(offsets: pa.Array) -> pa.Buffer:
    import pyarrow.compute as pc

    moved = pc.subtract(offsets, offsets[0])
    width = moved.type.bit_width // 8
    return moved.buffers()[1].slice(moved.offset * width, len(moved) * width)


def _text(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    bits, offsets = _bits(array, place), _offsets(array)
    data = array.buffers()[2] if len(array) else None
    if not bits.all_shown:
        kind = pa.large_binary() if offsets.type == pa.int64() else pa.binary()
        raw = pa.Array.from_buffers(kind, bits.length, [None, *array.buffers()[1:]], offset=array.offset)
        clean = pc.if_else(bits.selector(), raw, pa.scalar(b"", kind))
        offsets, data = _offsets(clean), clean.buffers()[2]
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    body = _empty() if data is None or first == last else data.slice(first, last - first)
    return pa.Array.from_buffers(array.type, bits.length, [bits.validity, _from_zero(offsets), body])


def _list(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa

    bits, offsets = _bits(array, place), _offsets(array)
    values, starts = _members(array, bits, offsets)
    (child,) = _fields(array.type)
    inner = canonical_array(values, replace(place, mask=None, nullable=child.nullable))
    return pa.Array.from_buffers(array.type, bits.length, [bits.validity, starts], children=[inner])


def _fields(kind: pa.DataType) -> Sequence[pa.Field]:
    return [kind.field(place) for place in range(kind.num_fields)]


def _members(array: pa.Array, bits: _Bits, offsets: pa.Array) -> tuple[pa.Array, pa.Buffer]:
    """Return the members of the lists that are shown, and offsets into them that begin at zero."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, last = offsets[0].as_py(), offsets[-1].as_py()
    values = array.values
    if not bits.all_shown:
        lengths = pc.if_else(bits.selector(), pc.subtract(offsets[1:], offsets[:-1]), pa.scalar(0, offsets.type))
        if pc.sum(lengths).as_py() != last - first:
            wrap = pa.large_list if offsets.type == pa.int64() else pa.list_
            buffers = [_bitmap(bits.shown, bits.length), _from_zero(offsets)]
            members = values.slice(first, last - first)
            lists = pa.Array.from_buffers(wrap(values.type), bits.length, buffers, children=[members])
            return lists.flatten(), _from_zero(_running(lengths))
    return values.slice(first, last - first), _from_zero(offsets)


def _running(lengths: pa.Array) -> pa.Array:
    """Return the offsets of lists with these lengths."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pa.concat_arrays([pa.array([0], lengths.type), pc.cumulative_sum(lengths)])


def _fixed_list(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    bits, size = _bits(array, place), array.type.list_size
    values, mask = array.values.slice(array.offset * size, bits.length * size), None
    if not bits.all_shown and size:
        ones = pa.repeat(pa.scalar(1, pa.int64()), len(values))
        parents = pc.divide(pc.subtract(pc.cumulative_sum(ones), 1), size)
        spread = pc.take(bits.selector(), parents)
        mask = _read_bits(spread.buffers()[1], spread.offset, len(spread))
    (child,) = _fields(array.type)
    inner = canonical_array(values, replace(place, mask=mask, nullable=child.nullable))
    return pa.Array.from_buffers(array.type, bits.length, [bits.validity], children=[inner])


def _struct(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa

    bits = _bits(array, place)
    mask = None if bits.all_shown else bits.shown
    inner = [
        canonical_array(array.field(number), replace(place, mask=mask, nullable=child.nullable))
        for number, child in enumerate(_fields(array.type))
    ]
    return pa.Array.from_buffers(array.type, bits.length, [bits.validity], children=inner)


# ----------------------------------------------------------------------------------------------- rarer encodings


def _is_view(kind: pa.DataType) -> bool:
    return str(kind) in {"string_view", "binary_view"}


def _view(array: pa.Array, place: Place) -> pa.Array:
    """Views may share or split their data anyhow: go through the plain form, which decides it."""
    import pyarrow as pa

    plain = pa.large_string() if str(array.type) == "string_view" else pa.large_binary()
    return canonical_array(array.cast(plain), place).cast(array.type)


def _is_list_view(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return isinstance(kind, pa.ListViewType | pa.LargeListViewType)


def _list_view(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    bits = _bits(array, place)
    shown = bits.selector()
    lane = pa.int64() if isinstance(array.type, pa.LargeListViewType) else pa.int32()
    lengths = pc.if_else(shown, pc.fill_null(pc.list_value_length(array), 0), pa.scalar(0, lane)).cast(lane)
    members = pc.filter(array, shown).flatten()
    (child,) = _fields(array.type)
    inner = canonical_array(members, replace(place, mask=None, nullable=child.nullable))
    starts, width = _from_zero(_running(lengths)), lane.bit_width // 8
    sizes = _from_zero(pa.concat_arrays([pa.array([0], lane), lengths])).slice(width)
    buffers = [bits.validity, starts.slice(0, bits.length * width), sizes]
    return pa.Array.from_buffers(array.type, bits.length, buffers, children=[inner])


def _run_ends(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        plain = canonical_array(pc.run_end_decode(array), place)
        encoded = pc.run_end_encode(plain, run_end_type=array.type.run_end_type)
    except pa.ArrowNotImplementedError as error:
        raise ValueNotStorable(
            f"a column of the Arrow type {array.type} cannot be stored", hint="decode its runs first"
        ) from error
    ends = canonical_array(encoded.run_ends, Place())
    values = canonical_array(encoded.values, replace(place, mask=None))
    return pa.RunEndEncodedArray.from_buffers(array.type, len(array), [None], children=[ends, values])


def _dictionary(array: pa.Array, place: Place) -> pa.Array:
    import pyarrow as pa

    bits = _bits(array, place)
    indices, dictionary = array.indices, array.dictionary
    if place.settle:
        indices, dictionary = _settled(array, place)
    clean = canonical_array(indices, Place(mask=bits.shown))
    return pa.DictionaryArray.from_arrays(clean, dictionary, ordered=array.type.ordered, safe=False)


def _settled(array: pa.Array, place: Place) -> tuple[pa.Array, pa.Array]:
    """Return indices into a dictionary without doubles and nulls; and without unused values, unless those count."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dictionary = canonical_array(array.dictionary, Place(settle=True))
    indices, keeps = array.indices, place.keep_unused or array.type.ordered
    if place.mask is not None:  # what lies under nulls may point outside the dictionary
        shown = pa.Array.from_buffers(pa.bool_(), len(array), [None, _bitmap(place.mask, len(array))])
        indices = pc.if_else(shown, indices, pa.scalar(None, indices.type))
    try:
        if keeps and not dictionary.null_count and pc.count_distinct(dictionary).as_py() == len(dictionary):
            return indices, dictionary
        distinct = pc.dictionary_encode(dictionary)
    except pa.ArrowNotImplementedError:
        raise ValueNotStorable(
            f"a column of the Arrow type {array.type} cannot be stored", hint="decode its dictionary first"
        ) from None
    places, values = pc.take(distinct.indices, indices), distinct.dictionary
    if not keeps:
        used = pc.unique(places).drop_null()
        places, values = pc.index_in(places, value_set=used), pc.take(values, used)
    kind = array.type.index_type
    limit = 2 ** (kind.bit_width - (1 if pa.types.is_signed_integer(kind) else 0))
    return places.cast(kind if len(values) <= limit else pa.int32()), canonical_array(values, Place(settle=True))
