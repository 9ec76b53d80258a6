"""Anything that fsspec reaches as the place of a store: S3 and its kin, or memory for tests.

What differs between them is told apart here and nowhere else: how a refused exclusive create looks, what a listing
may remember, what a missing range answers.
"""

from __future__ import annotations

import errno
import random
import secrets
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from headwater.errors import HeadwaterError, ProviderError, StoreError
from headwater.store.files import TEMPORARY, FileInfo, in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

A = TypeVar("A")
B = TypeVar("B")

#: Below this size it is cheaper to send an object that may be there than to ask first.
_ASK_FIRST = 1 << 18
#: Up to this size a file is sent in one piece; a download comes in pieces of this size.
_PIECE = 1 << 25
_CONFLICT_TRIES = 8
#: fsspec's memory file system looks and then writes; between the two another thread may do the same.
_MEMORY_LOCK = threading.Lock()
#: fsspec protocol → the extra that brings its package.
_EXTRAS = {"s3": "s3", "s3a": "s3"}


class _FileSystem(Protocol):
    """The part of fsspec that is used here; fsspec itself has no types."""

    def cat_file(self, path: str, *, start: int | None = None, end: int | None = None) -> bytes: ...
    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite") -> object: ...
    def put_file(self, lpath: str, rpath: str) -> object: ...
    def rm_file(self, path: str) -> object: ...
    def info(self, path: str) -> Mapping[str, Any]: ...
    def ls(self, path: str, detail: bool = True) -> list[Mapping[str, Any]]: ...  # noqa: FBT001, FBT002  fsspec's own
    def find(self, path: str, detail: bool = False) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: FBT001, FBT002
    def invalidate_cache(self) -> None: ...


class RemoteFiles:
    """The files of a store that fsspec reaches. Safe to use from many threads; not across a fork."""

    def __init__(self, url: str, *, options: Mapping[str, object] | None = None) -> None:
        self._url = url.rstrip("/")
        self._protocol = url.partition("://")[0]
        self._fs = _filesystem(self._protocol, options or {})
        self._is_s3 = hasattr(self._fs, "call_s3")
        self._root = cast(str, cast(Any, self._fs)._strip_protocol(self._url)).rstrip("/")  # noqa: SLF001  fsspec's own way

    @property
    def url(self) -> str:
        """The address that opens this place again."""
        return self._url

    def local(self, path: str) -> Path | None:  # noqa: ARG002  part of the seam
        """Return None: the file is elsewhere."""
        return None

    def probe(self) -> str:
        """Create a file twice and see that the second is refused; some servers ignore the condition silently."""
        path = f"{TEMPORARY}/probe-{secrets.token_hex(8)}"
        try:
            first, second = self.create(path, b"first"), self.create(path, b"second")
        except FileNotFoundError as error:
            raise StoreError(
                "the place of the store does not exist",
                facts={"store": self._url, "reason": error},
                hint="create the bucket first; headwater never does",
            ) from error
        self.delete(path)
        if not first or second:
            raise StoreError(
                "this server ignores exclusive create, so two runs could overwrite each other's records",
                facts={"store": self._url, "tried": "PUT with If-None-Match: *, twice; both were accepted"},
                hint="use a server that honours conditional writes (Amazon S3 does), or a folder",
            )
        return "conditional"

    # ------------------------------------------------------------------------------------------------------ reading

    def read(self, path: str) -> bytes:
        """Return the whole file."""
        # Without a start, s3fs first asks for the size of the file: two requests instead of one.
        return self.read_range(path, 0, -1)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return a part of the file, cut short where the file ends; a negative length means all the rest."""
        if length == 0:
            return b""
        with self._telling(path) as full:
            try:
                return self._fs.cat_file(full, start=start, end=start + length if length > 0 else None)
            except OSError as error:
                if _code(error) in {"InvalidRange", "416"}:
                    return b""
                raise

    def read_many(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of the files that exist."""
        return _present(in_parallel(_absent_as_none(self.read), list(paths)))

    def download(self, path: str, to: Path) -> None:
        """Copy the file to a new local file, piece by piece."""
        with open(to, "xb") as target:
            left = self._size(path)
            while left > 0:
                piece = self.read_range(path, target.tell(), min(left, _PIECE))
                if not piece:
                    raise StoreError("the store sent less than it promised", facts={"path": f"{self._url}/{path}"})
                target.write(piece)
                left -= len(piece)

    def size(self, path: str) -> int | None:
        """Return the file's size, or None when there is no such file."""
        return _absent_as_none(self._size)(path)

    def _size(self, path: str) -> int:
        return int(self._info(path)["size"])

    def _info(self, path: str) -> Mapping[str, Any]:
        with self._telling(path) as full:
            if self._is_s3:  # fs.info would list, after a miss, to see whether there is a folder of that name
                bucket, _, key = full.partition("/")
                head = cast(Any, self._fs).call_s3("head_object", Bucket=bucket, Key=key)
                return {"size": head["ContentLength"], "LastModified": head["LastModified"]}
            info = self._fs.info(full)
            if info["type"] == "directory":
                raise FileNotFoundError(full)
            return info

    def sizes(self, paths: Iterable[str]) -> Mapping[str, int]:
        """Return the sizes of those of the files that exist."""
        return _present(in_parallel(self.size, list(paths)))

    def modified(self, path: str) -> float:
        """Return when the file was written, on the store's clock."""
        info = self._info(path)
        return _modified(info) or self._modified_by_name(path)

    def _modified_by_name(self, path: str) -> float:
        with self._telling(path) as full:
            return _seconds(cast(Any, self._fs).modified(full))

    def paths(self, prefix: str, *, after: str = "") -> Iterable[str]:
        """Return the paths below a folder and greater than `after`; S3 is asked for those alone."""
        if after and self._is_s3:
            return self._paths_after(prefix, after)
        return [info.path for info in self.infos(prefix) if info.path > after]

    def _paths_after(self, prefix: str, after: str) -> list[str]:
        bucket, _, base = self._root.partition("/")
        base = f"{base}/" if base else ""
        below = f"{base}{prefix}/" if prefix else base
        asked: dict[str, str] = {"Bucket": bucket, "Prefix": below, "StartAfter": base + after}
        found: list[str] = []
        with self._telling(prefix):
            while True:
                page = cast(Any, self._fs).call_s3("list_objects_v2", **asked)
                found += [str(entry["Key"]).removeprefix(base) for entry in page.get("Contents", [])]
                if not page.get("IsTruncated"):
                    return [path for path in found if not path.startswith(f"{TEMPORARY}/")]
                asked["ContinuationToken"] = page["NextContinuationToken"]

    def infos(self, prefix: str) -> Iterator[FileInfo]:
        """Yield what is known of each file below a folder."""
        self._fs.invalidate_cache()
        try:
            with self._telling(prefix) as full:
                found = self._fs.find(full, detail=True)
        except FileNotFoundError:
            return
        for name, info in found.items():
            path = self._relative(name)
            if path.startswith(f"{prefix}/" if prefix else "") and (prefix or not path.startswith(f"{TEMPORARY}/")):
                modified = _modified(info)
                yield FileInfo(path, int(info["size"]), self._modified_by_name(path) if modified is None else modified)

    def children(self, prefix: str) -> Iterable[str]:
        """Return the names directly in a folder."""
        self._fs.invalidate_cache()
        try:
            with self._telling(prefix) as full:
                entries = self._fs.ls(full, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        inside = f"{prefix}/" if prefix else ""
        paths = [self._relative(str(entry["name"])) for entry in entries]
        return [path.removeprefix(inside) for path in paths if path.startswith(inside) and path != inside]

    # ------------------------------------------------------------------------------------------------------ writing

    def create(self, path: str, data: bytes) -> bool:
        """Create the file whole; False, and nothing done, when it exists. The one place that reads refusals."""
        for attempt in range(_CONFLICT_TRIES):
            try:
                with self._telling(path) as full:
                    self._create(full, data)
            except FileExistsError:
                return False
            except StoreError as error:
                if not _is_conflict(error.__cause__):
                    raise
                # Another create of the same name is under way; who of the two wins is not decided yet.
                time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311  a pause, not a secret
            else:
                return True
        if self.size(path) is not None:
            return False
        raise StoreError(
            "the store kept answering that others write the same name", facts={"path": f"{self._url}/{path}"}
        )

    def _create(self, full: str, data: bytes) -> None:
        if self._protocol == "memory":
            with _MEMORY_LOCK:
                self._fs.pipe_file(full, data, mode="create")
            return
        try:
            # Not open(…, "xb"): closed without a byte, it truncates what is there.
            self._fs.pipe_file(full, data, mode="create")
        except OSError as error:
            if _is_refusal(error):
                raise FileExistsError(full) from error
            raise

    def write(self, path: str, data: bytes) -> None:
        """Create or replace the file whole."""
        with self._telling(path) as full:
            self._fs.pipe_file(full, data)

    def add(self, path: str, data: bytes) -> None:
        """Store immutable bytes; a present file stays as it is."""
        if len(data) < _ASK_FIRST:
            self.create(path, data)
        elif self.size(path) != len(data):
            self.write(path, data)

    def add_many(self, files: Mapping[str, bytes]) -> None:
        """Store many immutable files at the same time."""
        in_parallel(lambda path: self.add(path, files[path]), list(files))

    def temporary(self) -> Path:
        """Return a fresh name in this machine's own temporary folder."""
        return Path(tempfile.gettempdir()) / f"headwater-{secrets.token_hex(8)}"

    def add_file(self, path: str, source: Path) -> None:
        """Upload a file from :meth:`temporary`, unless one of its size is there, and remove it."""
        try:
            size = source.stat().st_size
            if size <= _PIECE or self._protocol == "memory":
                self.add(path, source.read_bytes())
            elif self.size(path) != size:
                with self._telling(path) as full:
                    self._fs.put_file(str(source), full)
        finally:
            source.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Remove the file; nothing happens when there is none."""
        try:
            with self._telling(path) as full:
                self._fs.rm_file(full)
        except FileNotFoundError:
            return

    def mark(self, path: str) -> None:
        """Do nothing, as :meth:`flush`."""

    def flush(self) -> None:
        """Do nothing: what such a store has accepted, it keeps."""

    def clock(self) -> float:
        """Ask the store what time it is, by writing something and looking when."""
        path = f"{TEMPORARY}/clock-{secrets.token_hex(8)}"
        self.write(path, b"?")
        try:
            return self.modified(path)
        finally:
            self.delete(path)

    def _relative(self, name: str) -> str:
        return name.lstrip("/").removeprefix(self._root.lstrip("/")).lstrip("/")

    @contextmanager
    def _telling(self, path: str) -> Generator[str]:
        """Give the full name; turn whatever a library raises into StoreError, but for "is it there?"."""
        try:
            yield f"{self._root}/{path}" if path else self._root
        except (FileNotFoundError, FileExistsError, HeadwaterError):
            raise
        except PermissionError as error:
            raise StoreError(
                "the store refused access",
                facts={"store": self._url, "path": path, "reason": error},
                hint="check the credentials, and that they may read, list, write and delete here",
            ) from error
        except Exception as error:  # botocore's errors share no base with OSError
            raise StoreError(
                "the store could not be reached or did not do what was asked",
                facts={"store": self._url, "path": path, "reason": f"{type(error).__name__}: {error}"},
                hint="check the address, the network and the credentials",
            ) from error


def _filesystem(protocol: str, options: Mapping[str, object]) -> _FileSystem:
    import fsspec

    try:
        # Own instance, no memory of listings: another process may have written since the last look.
        made = fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        raise ProviderError(
            f"store '{protocol}' needs a package that is not installed",
            facts={"reason": error},
            hint=f"pip install 'headwater[{extra}]'" if extra else "install fsspec's package for it",
        ) from error
    except ValueError as error:
        raise ProviderError(
            f"no store of kind '{protocol}' is known",
            facts={"reason": error},
            hint="use a folder, s3://bucket/prefix, or another address that fsspec knows",
        ) from error
    return cast(_FileSystem, made)


def _code(error: BaseException) -> str:
    """Return the service's own error code, or the HTTP status as text, or nothing."""
    for link in (error, error.__cause__):
        response = getattr(link, "response", None)
        if isinstance(response, Mapping):
            fields = cast(Mapping[str, Any], response)
            code = fields.get("Error", {}).get("Code") or fields.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code:
                return str(code)
        status = getattr(link, "status", None) or getattr(link, "code", None)
        if isinstance(status, int):
            return str(status)
    return ""


def _is_refusal(error: OSError) -> bool:
    return (
        isinstance(error, FileExistsError)
        or _code(error) in {"PreconditionFailed", "412"}
        or (error.errno == errno.EINVAL and "precondition" in str(error).lower().replace("-", ""))
    )


def _is_conflict(error: BaseException | None) -> bool:
    return error is not None and _code(error) in {"ConditionalRequestConflict", "OperationAborted", "409"}


def _modified(info: Mapping[str, Any]) -> float | None:
    for name in ("LastModified", "last_modified", "updated", "mtime", "modified"):
        if info.get(name):
            return _seconds(info[name])
    return None


def _seconds(moment: object) -> float:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.timestamp() if isinstance(moment, datetime) else float(cast(float, moment))


def _absent_as_none(act: Callable[[A], B]) -> Callable[[A], B | None]:
    def ask(item: A) -> B | None:
        try:
            return act(item)
        except FileNotFoundError:
            return None

    return ask


def _present(found: Mapping[A, B | None]) -> dict[A, B]:
    return {item: value for item, value in found.items() if value is not None}
