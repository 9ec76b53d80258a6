"""Two values side by side: the difference is seen, however long they are."""

from __future__ import annotations

import base64

from headwater.excerpt import differing, text_of


def inline(body: bytes) -> dict[str, object]:
    return {"artifact": {"type": "json", "digest": "d", "inline": base64.b64encode(body).decode()}}


def test_short_texts_stay() -> None:
    assert differing("1", "2") == ("1", "2")


def test_the_difference_is_seen() -> None:
    names = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    old, new = differing(names + " mu", names + " nu" + "x" * 80, width=40)
    assert old == "…ota kappa mu"
    assert new == "…ota kappa nu" + "x" * 28 + "…"
    assert differing("a" * 100, "b" + "a" * 99, width=10) == ("a" * 10 + "…", "b" + "a" * 9 + "…")
    longer, shorter = differing("a" * 50 + "b", "a" * 50, width=20)
    assert (longer, shorter) == ("…" + "a" * 19 + "b", "…" + "a" * 19)
    assert differing("a" * 100, "a" * 99, width=8)[0] != differing("a" * 100, "a" * 99, width=8)[1]


def test_plain_trees_have_a_text() -> None:
    assert text_of({"value": "x"}) == "'x'"
    assert text_of({"list": [{"value": 1}, inline(b"2.5")]}) == "[1, 2.5]"
    data = {"type": "shop:Report", "fields": {"auc": inline(b"0.5"), "rows": {"value": 3}}}
    assert text_of({"data": data}) == "Report(auc=0.5, rows=3)"
    assert text_of({"artifact": {"type": "file", "digest": "d"}}) is None
    assert text_of({"list": [{"artifact": {"type": "arrow", "digest": "d"}}]}) is None
    assert text_of(None) is None
