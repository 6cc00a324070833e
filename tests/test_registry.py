"""Registries: by name, by module:Name, or the thing itself."""

import pytest

from fromnoise.errors import Usage
from fromnoise.registry import lookup, name_of, plugins
from tests import parts

TABLE = {"one": int, "two": float}


def test_a_name_a_module_and_a_thing_itself():
    assert lookup(TABLE, "one", "part") is int
    assert lookup(TABLE, "tests.parts:blobs", "part") is parts.blobs
    assert lookup(TABLE, parts.blobs, "part") is parts.blobs


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ones", "did you mean 'one'"),
        ("tests.parts:nothing", "cannot import tests.parts:nothing"),
        ("nowhere:thing", "is it installed, or in the folder you are in"),
        (3, "no part 3"),
        (None, "no part None"),
        ("a b:c", "no part 'a b:c'"),
        ("tests.parts:__name__", "is a str, no function or class"),
        ("fromnoise.samplers:SAMPLERS", "is a dict, no function or class"),
        ("raising:thing", "raising fails when it is imported, with ZeroDivisionError: .*; mend that file"),
        ("broken:thing", "broken fails when it is imported, with SyntaxError"),
        ("leaving:thing", "leaving fails when it is imported, with SystemExit: 3"),
    ],
)
def test_what_is_not_there(name, says, tmp_path, monkeypatch):
    for module, text in (("raising", "1 / 0"), ("broken", "def f(:"), ("leaving", "raise SystemExit(3)")):
        (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Usage, match=says):
        lookup(TABLE, name, "part")


def test_a_name_finds_the_same_thing_again():
    assert name_of(parts.blobs, "data") == "tests.parts:blobs"
    for thing in (lambda: 0, parts.Plain().forward):
        with pytest.raises(Usage, match="define it at the top of a module"):
            name_of(thing, "data")


def test_every_plugin_of_a_node_is_found():
    node = {"a": "m:x", "b": [{"c": "p.q:Y"}, "plain", 3], "d": "no: plugin", "e": "http://x"}
    assert list(plugins(node)) == ["m:x", "p.q:Y"]
