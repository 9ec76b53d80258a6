"""What a step's code is, piece by piece: an edit that can change a result changes the fingerprint, others do not.

The way of the data: :mod:`project` reads sources once → :mod:`trees` parses them → :mod:`forms` (written by
:mod:`writing`, with :mod:`scopes`) says what each piece means → :mod:`reach` walks from a function through live
objects, :mod:`resolve` telling for each reference what it stands for now, and :mod:`functions`, :mod:`classes`,
:mod:`naming`, :mod:`effects` filling in the pieces → :mod:`merkle` digests them → :mod:`report` is what comes out.

What is not seen, on purpose: what decorators of definitions that a step does not reach do to others when they run at
import; what third-party objects hold inside beyond the expressions that made them; data files that a step opens while
it runs (the worker observes those); and the insides of distributions, which count by version.
"""

from headwater.fingerprint.distributions import closure_of, installed_versions
from headwater.fingerprint.loaded import constants_set_here, drop_outdated_bytecode, outdated_modules
from headwater.fingerprint.project import Project, Source, find_project
from headwater.fingerprint.reach import fingerprint
from headwater.fingerprint.report import Change, Fingerprint, Piece, compare
from headwater.fingerprint.staleness import note_loaded, stale_modules
from headwater.fingerprint.synthesis import is_importable, synthesise

__all__ = [
    "Change",
    "Fingerprint",
    "Piece",
    "Project",
    "Source",
    "closure_of",
    "compare",
    "constants_set_here",
    "drop_outdated_bytecode",
    "find_project",
    "fingerprint",
    "installed_versions",
    "is_importable",
    "note_loaded",
    "outdated_modules",
    "stale_modules",
    "synthesise",
]
