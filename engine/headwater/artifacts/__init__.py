"""Values and the stored objects that they are: codecs, files and folders.

A value goes through the codec that its declared type chooses (``type_spec``), or that takes it (``spec_for_value``),
and becomes an ``Artifact``: the digest of its body and what is needed to read it. Every consumer gets a value decoded
from what was stored, and of its own.
"""

from headwater.artifacts.artifact import INLINE, Artifact, json_document
from headwater.artifacts.choice import choose_codec, find_codec, is_data, spec_for_value, type_spec
from headwater.artifacts.paths import Dir, File, scratch_folder
from headwater.artifacts.seam import Codec, Sink, Source, codec
from headwater.artifacts.transfer import (
    Objects,
    decode_value,
    decode_with,
    describe_value,
    encode_value,
    encode_with,
    members,
    members_of_source,
    read_json,
    references,
)
from headwater.values import load_type

__all__ = [
    "INLINE",
    "Artifact",
    "Codec",
    "Dir",
    "File",
    "Objects",
    "Sink",
    "Source",
    "choose_codec",
    "codec",
    "decode_value",
    "decode_with",
    "describe_value",
    "encode_value",
    "encode_with",
    "find_codec",
    "is_data",
    "json_document",
    "load_type",
    "members",
    "members_of_source",
    "read_json",
    "references",
    "scratch_folder",
    "spec_for_value",
    "type_spec",
]
