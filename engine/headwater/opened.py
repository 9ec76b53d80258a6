"""A project's settings, and what they lead to: the store with its index, the user's keys, digests of files outside."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from headwater.config import load_profile
from headwater.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.config import Profile
    from headwater.digest import Json
    from headwater.index import Index
    from headwater.known import Document
    from headwater.store import Store
    from headwater.trust import Keyring


class Opened:
    """What every verb needs of a project; each part is opened when it is first needed, and then kept.

    ``root``: the project's folder. ``store``, ``backend``, ``profile`` overrule its settings. Without ``create`` a
    store that is not there is an error.
    """

    def __init__(
        self,
        root: Path,
        *,
        store: str | None = None,
        backend: str | None = None,
        profile: str | None = None,
        create: bool = True,
    ) -> None:
        self.root = root
        self._store = store
        self._backend = backend
        self._profile = profile
        self._creates = create

    @cached_property
    def profile(self) -> Profile:
        """The settings in force."""
        return load_profile(self.root, name=self._profile, store=self._store, backend=self._backend)

    @cached_property
    def store(self) -> Store:
        """The store, made if it is not there."""
        from headwater.store import open_store

        return open_store(self.profile.store, create=self._creates)

    @cached_property
    def index(self) -> Index:
        """The look-up side of the store's runs, as of its first use."""
        from headwater.index import Index

        index = Index.open(self.store)
        index.refresh()
        return index

    @cached_property
    def keyring(self) -> Keyring:
        """The user's own key and those that are trusted."""
        from headwater.trust import Keyring

        return Keyring.load()

    @cached_property
    def sources(self) -> Sources:
        """Digests of files outside the store."""
        return Sources()

    def read_json(self, document: Document) -> Json:
        """Return the typed JSON that a ``json`` artifact holds."""
        from headwater.artifacts import Artifact, read_json

        return read_json(Artifact.from_document(document), self.store)
