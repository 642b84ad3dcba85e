"""Keys and the names of a server."""

import pytest

pytest.importorskip("fastapi")

from ramen.errors import InputError  # noqa: E402
from ramen.serve.access import Access, Refused, is_loopback, read_key  # noqa: E402


@pytest.mark.parametrize("sent", [b"Bearer secret", b"bearer secret", b"BEARER  secret "])
def test_the_key_is_taken_with_any_case_of_bearer(sent):
    Access("secret").check([(b"authorization", sent)], needs_key=True)


@pytest.mark.parametrize(
    "sent", [b"", b"secret", b"Basic secret", b"Bearer", b"Bearer Secret", b"Bearer secret2", b"\xff"]
)
def test_other_keys_are_refused(sent):
    with pytest.raises(Refused) as error:
        Access("secret").check([(b"authorization", sent)], needs_key=True)
    assert error.value.status == 401 and error.value.headers == {"WWW-Authenticate": "Bearer"}
    Access("secret").check([], needs_key=False)
    Access("").check([(b"authorization", sent)], needs_key=True)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[",
        "a b",
        "@",
        "evil@localhost",
        "localhost/evil",
    ],
)
def test_other_names_are_refused(host):
    with pytest.raises(Refused) as error:
        Access("", ["tags.example.org"]).check([(b"host", host.encode())], needs_key=False)
    assert error.value.status == 403


def test_two_names_are_refused():
    with pytest.raises(Refused, match="Host: found several"):
        Access("").check([(b"host", b"evil.example"), (b"host", b"localhost")], needs_key=False)


def test_any_name_is_taken_where_it_is_asked_for():
    access = Access("", ["*", "z.example"])
    for origin in (b"http://x.example", b"https://z.example"):
        access.check([(b"host", b"x.example"), (b"origin", origin)], needs_key=False)
    with pytest.raises(Refused, match="Origin: found 'http://y.example'"):
        access.check([(b"host", b"x.example"), (b"origin", b"http://y.example")], needs_key=False)


def test_keys_come_from_the_environment_or_a_file(monkeypatch, tmp_path):
    assert read_key("SOME_KEY") == ""
    monkeypatch.setenv("SOME_KEY", "abc")
    assert read_key("SOME_KEY") == "abc"
    path = tmp_path / "key"
    path.write_text("def\n")
    monkeypatch.setenv("SOME_KEY_FILE", str(path))
    with pytest.raises(InputError, match="SOME_KEY and SOME_KEY_FILE: found both"):
        read_key("SOME_KEY")
    monkeypatch.delenv("SOME_KEY")
    assert read_key("SOME_KEY") == "def"


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "é", "\x07"])
def test_a_key_that_no_client_could_send_is_refused(monkeypatch, key):
    monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(InputError, match="^SOME_KEY: (found an empty key|expected ASCII)"):
        read_key("SOME_KEY")


def test_a_missing_or_empty_file_of_a_key_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="none: expected a file with the key"):
        read_key("SOME_KEY")
    (tmp_path / "none").write_text("\n")
    with pytest.raises(InputError, match="none: found an empty key"):
        read_key("SOME_KEY")


def test_loopback():
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "example.org"]))
