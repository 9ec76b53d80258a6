"""The codec of NumPy arrays: npy files, little endian, in C order, without Python objects.

Signs of zero and payloads of NaN are kept bit for bit. Bytes between the fields of structured types are zeroed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

from headwater.errors import ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from headwater.artifacts.seam import Sink, Source
    from headwater.digest import Json

    Array = NDArray[Any]

_MAGIC = b"\x93NUMPY"
_ALIGNMENT = 64
_PIECE = 16 << 20


class ArrayCodec:
    """``numpy.ndarray``; read as a private copy-on-write map of the stored file."""

    name = "npy"

    def matches(self, value: object) -> bool:
        """Tell whether the value is an array, and no subclass that would be lost (masked arrays, matrices)."""
        kind = type(value)
        return kind.__module__.partition(".")[0] == "numpy" and kind.__qualname__ in {"ndarray", "memmap"}

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Write a header of our own, the same for every version of NumPy, and the elements."""
        import numpy as np

        array = _normal(np.asarray(cast("Array", value)))
        sink.write(_header(array))
        flat = array.reshape(-1)
        step = max(1, _PIECE // max(1, array.itemsize))
        for start in range(0, flat.size, step):
            sink.write(flat[start : start + step].tobytes())
        return {}

    def decode(self, source: Source) -> Array:
        """Return the array; pages of a local file are read when they are touched, and copied when they are changed."""
        import numpy as np

        path = source.local()
        if path is not None:
            mapped = cast("Array", np.load(path, mmap_mode="c", allow_pickle=False))
            if mapped.ndim and mapped.size:
                return np.asarray(mapped)
        return cast("Array", np.load(io.BytesIO(source.read()), allow_pickle=False))


def _normal(array: Array) -> Array:
    """Return an equal array whose bytes follow from its elements alone."""
    import numpy as np

    _check(array.dtype)
    wanted = np.dtype(array.dtype.newbyteorder("<"))
    if wanted.names is not None or wanted.subdtype is not None:
        clean = np.zeros(array.shape, _without_metadata(wanted))
        _copy_fields(array, clean)
        return clean
    return np.ascontiguousarray(array, _without_metadata(wanted)).reshape(array.shape)


def _check(dtype: np.dtype[Any]) -> None:
    for field in (dtype.fields or {}).values():
        _check(field[0])
    base = dtype.base
    if base.hasobject or base.kind not in "biufcSUVMm" or base.char in "gG":
        hint = "use a fixed-width text type such as 'U10', or return a list" if base.kind in "OT" else None
        raise ValueNotStorable(
            f"an array of dtype {dtype} cannot be stored",
            hint=hint or "convert it, for example with .astype('float64')",
        )


def _without_metadata(dtype: np.dtype[Any]) -> np.dtype[Any]:
    import numpy as np

    return np.dtype(np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)))


def _copy_fields(array: Array, clean: Array) -> None:
    """Copy field by field, so that what lies between fields stays zero."""
    if array.dtype.names is None:
        clean[...] = array
        return
    for name in array.dtype.names:
        _copy_fields(array[name], clean[name])


def _header(array: Array) -> bytes:
    import numpy as np

    descr = np.lib.format.dtype_to_descr(array.dtype)
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {array.shape!r}, }}"
    # Version 2 of the format has room for headers beyond 64 KiB, version 3 for names beyond Latin-1.
    version, width = (1, 2) if len(text) < 60_000 else (2, 4)
    if not text.isascii():
        version, width = 3, 4
    data = text.encode("utf-8" if version == 3 else "latin-1")
    used = len(_MAGIC) + 2 + width + len(data) + 1
    data += b" " * (-used % _ALIGNMENT) + b"\n"
    return _MAGIC + bytes([version, 0]) + len(data).to_bytes(width, "little") + data
