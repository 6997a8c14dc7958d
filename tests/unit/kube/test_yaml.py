"""Manifests come in as kubectl would read them, and go out so that every reader reads the same."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from oneoff.errors import ManifestUnfit
from oneoff.kube.manifests import read_manifests
from oneoff.kube.yamltext import dump

AMBIGUOUS = [
    *(
        "1e3",
        "12345e7",
        "no",
        "yes",
        "on",
        "off",
        "y",
        "N",
        "0777",
        "0o17",
        "0x1f",
        "12:30",
        "~",
        "null",
        "true",
    ),
    *("2026-01-01", "2026-01-01T00:00:00Z", "1_000", ".5", ".inf", "", " ", "=", "<<", "- a", "a: b", "# x"),
    *(
        "!x",
        "&x",
        "*x",
        "@x",
        "`x",
        "%x",
        "'",
        '"',
        "\\",
        "\n",
        "a\n\nb ",
        "\t",
        "\x00",
        "\x85",
        "\u2028",
        "\ufeff",
    ),
    *("\ud7ff", "\ue000", "\U0001f600", "---", "...", "[", "{", "?", "-", "|", ">"),
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(AMBIGUOUS)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def by_ruamel(text: str, version: str) -> Any:
    """What another library reads, in YAML 1.1 or 1.2."""
    reader = YAML(typ="safe", pure=True)
    reader.version = version
    return reader.load(io.StringIO(text))


@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    """Whatever the value: PyYAML, our own reader and ruamel under 1.1 and 1.2 read the same."""
    text = dump([{"value": value}])
    wanted = json.dumps({"value": value}, sort_keys=True)
    assert json.dumps(yaml.safe_load(text), sort_keys=True) == wanted
    assert read_manifests(text, "it") == [{"value": value}]
    for version in ("1.1", "1.2"):
        assert json.dumps(by_ruamel(text, version), sort_keys=True) == wanted


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_strings_that_readers_disagree_on_are_quoted(text: str) -> None:
    """As a value, as a key and in a list."""
    written = dump([{text: text, "list": [text, [text]]}])
    assert yaml.safe_load(written) == {text: text, "list": [text, [text]]}
    assert by_ruamel(written, "1.1") == {text: text, "list": [text, [text]]}


def test_several_documents() -> None:
    """Each begins with its own mark, and the order of keys is kept unless two are to be compared."""
    documents = [{"b": 1, "a": []}, {"c": {}}]
    assert dump(documents) == "b: 1\na: []\n---\nc: {}\n"
    assert dump(documents[:1], ordered=True) == "a: []\nb: 1\n"
    assert read_manifests(dump(documents), "it") == documents


@pytest.mark.parametrize(
    ("bare", "value"),
    [
        ("12:30", "12:30"),
        ("1:20:30.5", "1:20:30.5"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01 10:00:00", "2026-01-01 10:00:00"),
        ("=", "="),
        ("0777", 511),
        ("0x1f", 31),
        ("420", 420),
        ("-1", -1),
        ("1.5", 1.5),
        ("1e3", 1000),
        ("12345e7", 123_450_000_000),
        ("1.5e+3", 1500),
        ("0o17", 15),
        ("08", 8),
        ("1_000", 1000),
        ("y", True),
        ("N", False),
        (".5", 0.5),
        ("5.", 5),
        ("1e", "1e"),
        ("1e30", 1e30),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ('"12:30"', "12:30"),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
    ],
)
def test_bare_words_are_read_as_kubectl_reads_them(bare: str, value: Any) -> None:
    """Go has no dates and no base 60 there: an image's tag or a variable would come out as another."""
    (document,) = read_manifests(f"a: {bare}\n", "it")
    assert document == {"a": value}
    assert type(document["a"]) is type(value)


def test_keys_are_texts() -> None:
    """As JSON has them: ``on`` is a bool to YAML 1.1."""
    assert read_manifests("on: 1\n2: 3\n1.5: 4\n", "it") == [{"true": 1, "2": 3, "1.5": 4}]


def test_anchors_and_merges() -> None:
    """They are resolved."""
    text = "a: &x {b: 1}\nc: {<<: *x, d: 2}\n"
    assert read_manifests(text, "it") == [{"a": {"b": 1}, "c": {"b": 1, "d": 2}}]


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: !Ref x",
        "a: *x",
        "\tb: 1",
        "a: !!binary aGk=",
        "? [a]\n: b",
        "a: &x [*x]",
        "a: \x07",
        "a: 1e400",
        '{"a": 1',
    ],
)
def test_what_is_no_manifest(text: str) -> None:
    """One line of error that names it."""
    with pytest.raises(ManifestUnfit, match=r"^web\.yaml ") as caught:
        read_manifests(text, "web.yaml")
    assert "\n" not in caught.value.message


def test_json_needs_no_library() -> None:
    """Neither does importing what reads YAML."""
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "from oneoff.kube.manifests import read_manifests\n"
        "from oneoff.errors import UsageError\n"
        "assert read_manifests('{\"a\": 1}', 'x') == [{'a': 1}]\n"
        "try: read_manifests('a: 1', 'x')\n"
        "except UsageError as error: print(error.next_step)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert "oneoff[kubernetes]" in ended.stdout
