"""Measure the tools on the edits, print the table, and write it into the documentation.

usage: python -m benchmarks.edits [--peers headwater,joblib,…] [--rows TEXT] [--cache FOLDER] [--dry]

Tools that are not named keep their last results. Needs a package index once, to install the tools.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from benchmarks.edits import report
from benchmarks.edits.cases import Case, cases
from benchmarks.edits.environments import ROOT, prepared, server, version
from benchmarks.edits.measure import measure, truth
from benchmarks.edits.peers import PEERS, PLAIN, Peer

RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "explanation" / "edits.md"


def main() -> None:
    """Measure what is asked for."""
    asked = _arguments()
    chosen = [case for case in cases() if asked.rows in case.name]
    peers = [peer for peer in PEERS if not asked.peers or peer.name in asked.peers.split(",")]
    results = _start(chosen, prepared(PLAIN, asked.cache))
    for peer in peers:
        _measure(peer, chosen, results, asked.cache)
        if not asked.dry:
            report.save(_all(results), RESULTS)
    if not asked.dry:
        results = _all(results)
        PAGE.write_text(report.page(PAGE.read_text(), results))
    print(report.counts(results), report.table(results), sep="\n\n")


def _all(results: report.Json) -> report.Json:
    return report.merged(report.load(RESULTS), results, [peer.name for peer in PEERS])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__.splitlines()[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "headwater-benchmarks")
    parser.add_argument("--peers", default="", help=f"of {', '.join(peer.name for peer in PEERS)}; default: all")
    parser.add_argument("--rows", default="", help="only rows whose name contains this; implies --dry")
    parser.add_argument("--cache", type=Path, default=cache, help="where the tools are installed")
    parser.add_argument("--dry", action="store_true", help="print only")
    asked = parser.parse_args()
    asked.dry = asked.dry or bool(asked.rows)
    return asked


def _start(chosen: list[Case], programs: Path) -> report.Json:
    """Ask each project itself what is right."""
    rows = []
    for case in chosen:
        before, after = truth(case, programs)
        rows.append({"name": case.name, "before": before, "after": after, "cells": {}})
    return {"python": platform.python_version(), "system": platform.system(), "peers": {}, "rows": rows}


def _measure(peer: Peer, chosen: list[Case], results: report.Json, cache: Path) -> None:
    try:
        programs = prepared(peer, cache)
    except subprocess.CalledProcessError as failed:
        results["peers"][peer.name] = {"not_run": f"its installation failed with exit status {failed.returncode}"}
        return
    results["peers"][peer.name] = {
        "version": version(peer, programs),
        "date": str(dt.datetime.now(dt.UTC).date()),
    }
    with contextlib.ExitStack() as stack:
        extra = {}
        if peer.served:
            home = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            extra = stack.enter_context(server(programs, Path(home)))
        for case, row in zip(chosen, results["rows"], strict=True):
            found = row["cells"].get(_twin(peer, case))
            if found is None:
                outcome = measure(case, peer, programs, extra)
                found = report.cell(outcome, before=row["before"], after=row["after"])
            row["cells"][peer.name] = found
            print(f"{peer.name}: {case.name}: {found['verdict']} {found.get('failure', '')}", flush=True)


def _twin(peer: Peer, case: Case) -> str:
    twin = next((one for one in PEERS if one.name == peer.twin), None)
    same = twin is not None and all(twin.write(side) == peer.write(side) for side in (case.before, case.after))
    return peer.twin if same else ""


if __name__ == "__main__":
    main()
