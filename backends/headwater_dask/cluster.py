"""Which Dask cluster is used, from the profile's settings: an address, a class, or one made for this run."""

from __future__ import annotations

import importlib
import logging
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from headwater.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.backend import BackendContext
    from headwater.digest import Json

_LOOPBACK = "127.0.0.1"
_SECURITY = {"ca": "tls_ca_file", "cert": "tls_client_cert", "key": "tls_client_key"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of this backend, as a profile spells them."""

    #: Address of a scheduler that runs already.
    address: str | None = None
    #: ``module:Class`` of a cluster to start.
    cluster: str | None = None
    #: What that class is called with.
    options: Mapping[str, Json] = field(default_factory=dict[str, "Json"])
    #: Workers of a cluster that is started; for a local one, processes or groups of threads.
    workers: int = 1
    #: Attempts at a time of a local cluster, over all its workers; the machine's cores if absent.
    threads: int | None = None
    #: Whether the workers of a local cluster are processes of their own.
    processes: bool = False
    #: Whether a local cluster shows its dashboard, on the loopback interface.
    dashboard: bool = False
    #: Named resources of each worker of a local cluster.
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    #: Files for TLS: ``ca``, ``cert``, ``key``.
    security: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Whether first attempts are performed before a local cluster of threads has started.
    ahead: bool = True
    #: Seconds to wait for a scheduler to answer.
    wait: float = 30.0

    @property
    def is_local(self) -> bool:
        """Whether the cluster is made for this driver on this machine."""
        return self.address is None and self.cluster is None

    @property
    def has_head_start(self) -> bool:
        """Whether attempts may be performed before the cluster is there: where nobody could tell the difference."""
        return self.ahead and self.is_local and not self.processes and self.workers == 1


_KINDS: dict[str, tuple[type, ...]] = {
    "address": (str,),
    "cluster": (str,),
    "options": (dict,),
    "workers": (int,),
    "threads": (int,),
    "processes": (bool,),
    "dashboard": (bool,),
    "resources": (dict,),
    "security": (dict,),
    "ahead": (bool,),
    "wait": (int, float),
}


def read_settings(context: BackendContext) -> Settings:
    """Read the settings. Raises ConfigError naming the one that is wrong."""
    where = f"backend '{context.name}'"
    for name, value in context.settings.items():
        kinds = _KINDS.get(name)
        if kinds is None:
            raise ConfigError(f"{where} has no setting '{name}'", hint=f"its settings are {', '.join(_KINDS)}")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError(f"the setting '{name}' of {where} should be {kinds[0].__name__}", facts={"found": value})
    settings = Settings(**cast("dict[str, Any]", dict(context.settings)))
    if settings.address and settings.cluster:
        raise ConfigError(f"{where} has both an address and a cluster", hint="keep one of them")
    if settings.cluster and ":" not in settings.cluster:
        raise ConfigError(
            f"the setting 'cluster' of {where} should be 'module:Class'", facts={"found": settings.cluster}
        )
    for name in settings.security:
        if name not in _SECURITY:
            raise ConfigError(f"{where} has no security setting '{name}'", hint=f"they are {', '.join(_SECURITY)}")
    if settings.workers < 1 or (settings.threads is not None and settings.threads < 1):
        raise ConfigError(f"{where} needs at least one worker and one thread")
    return settings


def start(settings: Settings, *, cores: int) -> tuple[Any, Any]:
    """Start or reach the cluster; returns a client, and the cluster if it is ours to close."""
    _quieten()
    import distributed

    security = _security(settings)
    cluster = None
    if settings.address is None:
        try:
            cluster = _local(settings, cores, security) if settings.cluster is None else _custom(settings)
        except Exception as error:
            what = settings.cluster or "a local one"
            raise SetupError(
                "the Dask cluster cannot be started",
                facts={"cluster": what, "because": f"{type(error).__name__}: {error}"},
            ) from error
    try:
        target = settings.address if cluster is None else cluster
        make_client: Any = distributed.Client  # without types of its own
        client = make_client(target, timeout=settings.wait, set_as_default=False, security=security)
    except BaseException:
        if cluster is not None:
            cluster.close()
        raise
    return client, cluster


def _local(settings: Settings, cores: int, security: Any) -> Any:
    import distributed
    from dask import config

    # Step bodies run in processes of their own: a worker that dies took nobody's memory, and the engine retries.
    config.set({"distributed.scheduler.allowed-failures": 0})
    threads = settings.threads or cores
    options: dict[str, Any] = {"host": _LOOPBACK} if settings.processes else {}
    if settings.security:
        options = {"host": _LOOPBACK, "protocol": "tls://"}
    make_cluster: Any = distributed.LocalCluster
    return make_cluster(
        n_workers=settings.workers,
        threads_per_worker=-(-threads // settings.workers),
        processes=settings.processes,
        memory_limit=0,
        # Scheduler and workers answer HTTP in any case: on the loopback interface, and on a port that is free.
        dashboard_address=f"{_LOOPBACK}:0",
        scheduler_kwargs={"dashboard": settings.dashboard},
        worker_dashboard_address=f"{_LOOPBACK}:0",
        silence_logs=logging.CRITICAL,
        resources=dict(settings.resources) or None,
        security=security,
        **options,
    )


def _custom(settings: Settings) -> Any:
    module, _, name = cast("str", settings.cluster).partition(":")
    kind = getattr(importlib.import_module(module), name)
    cluster = kind(**settings.options)
    if "workers" not in settings.options and "n_workers" not in settings.options:
        cluster.scale(settings.workers)
    return cluster


def _security(settings: Settings) -> Any:
    import distributed

    if not settings.security:
        return None
    make_security: Any = distributed.Security
    return make_security(
        require_encryption=True, **{_SECURITY[name]: path for name, path in settings.security.items()}, **_own(settings)
    )


def _own(settings: Settings) -> dict[str, str]:
    """Return what a scheduler and workers of our own need beside the client's files: the same."""
    if not settings.is_local:
        return {}
    files = settings.security
    return {
        f"tls_{role}_{part}": files[part]
        for role in ("scheduler", "worker")
        for part in ("cert", "key")
        if part in files
    }


def _quieten() -> None:
    """Keep Dask's own messages off the terminal: what matters is reported by this backend."""
    import distributed

    del distributed  # its import configures these loggers, once
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    for name in {"distributed", "tornado.application", *names}:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # A cluster of the user's own kind may want a port that another one has; it takes a free one then.
    warnings.filterwarnings("ignore", message=r"Port \d+ is already in use", category=UserWarning)
