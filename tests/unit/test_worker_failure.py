"""Whose fault an exception is, and what is shown of it."""

import errno

import pytest

from headwater.errors import ObjectMissing, ValueNotStorable
from headwater.types import Fault
from headwater.worker.failure import failed, failure_of


def raised(error):
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  the very thing to look at
        return caught


@pytest.mark.parametrize(
    ("error", "in_body", "fault", "kind"),
    [
        (ValueError("x"), True, Fault.USER, "ValueError"),
        (KeyboardInterrupt(), True, Fault.CANCELLED, "KeyboardInterrupt"),
        (SystemExit(3), True, Fault.USER, "SystemExit"),
        (SystemExit(), True, Fault.USER, "SystemExit"),
        (MemoryError(), True, Fault.RESOURCE, "MemoryError"),
        (OSError(errno.ENOSPC, "No space left on device"), True, Fault.RESOURCE, "OSError"),
        (OSError(errno.ENOSPC, "No space left on device"), False, Fault.RESOURCE, "OSError"),
        (FileNotFoundError(errno.ENOENT, "none"), True, Fault.USER, "FileNotFoundError"),
        (ConnectionResetError("the store"), False, Fault.TRANSIENT, "ConnectionResetError"),
        (ValueNotStorable("no codec"), False, Fault.USER, "ValueNotStorable"),
        (ObjectMissing("an input"), False, Fault.CONFIG, "ObjectMissing"),
        (ObjectMissing("the user's own use of a store"), True, Fault.USER, "ObjectMissing"),
        (ZeroDivisionError("a codec"), False, Fault.CONTRACT, "ZeroDivisionError"),
        (failed(Fault.CONFIG, "SecretMissing", "no secret"), True, Fault.CONFIG, "SecretMissing"),
    ],
)
def test_faults(error, in_body, fault, kind):
    failure = failure_of(raised(error), in_body=in_body)
    assert (failure.fault, failure.kind) == (fault, kind)


def test_causes_groups_and_notes_are_shown():
    def body():
        try:
            {}["key"]
        except KeyError as error:
            trouble = ExceptionGroup("several", [ValueError("one"), TypeError("two")])
            trouble.add_note("a note")
            raise trouble from error

    try:
        body()
    except ExceptionGroup as caught:
        text = "\n".join(failure_of(caught, in_body=True).traceback)
    for part in ("KeyError: 'key'", "direct cause", "ValueError: one", "TypeError: two", "a note", "in body"):
        assert part in text


def test_exceptions_that_cannot_be_shown_are_told_all_the_same():
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError("no")

    failure = failure_of(raised(Nasty()), in_body=True)
    assert failure.kind.endswith("Nasty")
    assert "cannot be had" in failure.message


def test_secrets_are_masked_in_message_and_traceback():
    failure = failure_of(
        raised(ValueError("open-sesame")), in_body=True, mask=lambda text: text.replace("open-sesame", "***")
    )
    assert failure.message == "***"
    assert not [line for line in failure.traceback if line.startswith("ValueError: open")]


def test_a_message_without_end_is_cut():
    assert len(failure_of(raised(ValueError("x" * 10_000_000)), in_body=True).message) < 100_000
