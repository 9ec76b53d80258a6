"""What a step's code is, piece by piece: an edit that can change a result changes the fingerprint, others do not."""

from headwater.fingerprint.distributions import closure_of, installed_versions
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
    "find_project",
    "fingerprint",
    "installed_versions",
    "is_importable",
    "note_loaded",
    "stale_modules",
    "synthesise",
]
