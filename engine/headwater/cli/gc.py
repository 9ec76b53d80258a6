"""Remove runs that the policy lets go, and objects that nothing reaches any more.

hw gc --dry-run            # how many bytes would go
hw gc --keep 20 --days 90  # of each pipeline: the newest 20 runs, and all of the last 90 days

Objects go in two visits, an hour apart at least, so that no run beside it loses anything: call it now and then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.cli import options, text

if TYPE_CHECKING:
    import argparse

    from headwater.housekeeping import Collected


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="change nothing; say what would go")
    parser.add_argument(
        "--keep", metavar="N", type=options.count, help="of each pipeline keep the newest N runs; default: all"
    )
    parser.add_argument("--days", metavar="N", type=float, help="keep the runs of the last N days")
    parser.add_argument(
        "--alone",
        action="store_true",
        help="nobody else uses the store: remove at once what would wait for a later visit",
    )
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater import housekeeping

    workspace = options.workspace(args, create=False)
    keep = workspace.profile.keep if args.keep is None and args.days is None else args.keep
    policy = housekeeping.Policy(keep=keep, days=args.days)
    store = workspace.store
    if args.alone:
        done = housekeeping.collect(store, policy=policy, dry_run=args.dry_run, wait=0, age=0)
        if not args.dry_run:  # the second visit, at once
            again = housekeeping.collect(store, policy=policy, wait=0, age=0)
            done = replace(again, runs=done.runs)
    else:
        done = housekeeping.collect(store, policy=policy, dry_run=args.dry_run)
    if args.json:
        options.print_json(
            {
                "dry_run": args.dry_run,
                "runs": list(done.runs),
                "swept": done.swept,
                "swept_bytes": done.swept_bytes,
                "condemned": done.condemned,
                "condemned_bytes": done.condemned_bytes,
                "saved": done.saved,
                "next_in": done.next_in,
            }
        )
    else:
        _print(done, would=args.dry_run)
    return 0


def _print(done: Collected, *, would: bool) -> None:
    verb = "would be removed" if would else "removed"
    print(f"{text.counted(len(done.runs), 'run')} {verb}{': ' if done.runs else ''}{', '.join(done.runs)}")
    print(f"{text.counted(done.swept, 'object')} {verb}, {text.size(done.swept_bytes)}")
    unreached = text.counted(done.condemned, "object")
    print(f"{unreached} that nothing reaches, {text.size(done.condemned_bytes)}: for a later visit")
    if done.saved:
        print(f"{text.counted(done.saved, 'object')} saved: reached again")
    if done.next_in is not None:
        print(f"the next visit can remove some in {text.duration(done.next_in)}")
