"""accounts.scopes: reading and combining what a key may be limited to."""

import pytest

from accounts import scopes


def test_tasks_are_kept_once_and_in_order() -> None:
    assert scopes.read_tasks(["translation", "chat", "translation"]) == ["translation", "chat"]


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ValueError, match=r"^'chta' is not a task\. Tasks are chat, translation\.$"):
        scopes.read_tasks(["chat", "chta"])


@pytest.mark.parametrize("name", ["aister-guide", "Qwen/Qwen3-0.6B", "m", "a" * 200])
def test_models_may_be_ids_of_a_hub(name: str) -> None:
    assert scopes.read_models([name]) == [name]


@pytest.mark.parametrize("name", ["", " a", "a b", "-a", "a\x00", "a" * 201, "modèle"])
def test_what_no_model_is_called_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't be the name of a model"):
        scopes.read_models([name])


def test_too_many_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^101 are too many\. Give at most 100, or none for no limit\.$"):
        scopes.read_models(f"m{number}" for number in range(101))


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://App.Example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_origins_are_written_as_browsers_write_them(text: str, origin: str) -> None:
    assert scopes.read_origins([text]) == [origin]


@pytest.mark.parametrize(
    "text",
    ["", "*", "null", "app.example.com", "ftp://a.example", "https://a.example/path", "https://u@a.example", "https://a.example:0",
     "https://a.example:65536", "https://*.a.example", "https://", "https://a.example\n", "https://a.example?x"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not an origin\. Write one as https://app\.example\.com, without a path\.$"
    ):
        scopes.read_origins([text])


def test_an_empty_list_allows_everything_and_two_that_share_nothing_allow_nothing() -> None:
    assert scopes.scope([]) is None
    nothing = scopes.both(scopes.scope(["a"]), scopes.scope(["b"]))
    assert nothing == frozenset()
    assert scopes.allows(None, "a")
    assert not scopes.allows(nothing, "a")


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [([], [], None), (["a"], [], {"a"}), ([], ["a"], {"a"}), (["a", "b"], ["b", "c"], {"b"})],
)
def test_both_keeps_what_both_allow(one: list[str], other: list[str], result: set[str] | None) -> None:
    assert scopes.both(scopes.scope(one), scopes.scope(other)) == result
