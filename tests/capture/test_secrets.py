from __future__ import annotations

import pytest

from nbversion.capture.secrets import (
    MASK,
    is_secret_name,
    mask_source,
    mask_text,
    mask_value,
    mask_values,
    secret_values,
)

SHAPES = [
    "sk-" + "a1B2" * 8,
    "sk_live_" + "a1B2" * 6,
    "ghp_" + "a" * 36,
    "github_pat_" + "a" * 40,
    "glpat-" + "a" * 20,
    "hf_" + "a" * 34,
    "xoxb-123456789012-abc",
    "AKIA" + "A1" * 8,
    "AIza" + "a" * 35,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.c2ln",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SHAPES)
def test_a_secrets_shape_is_masked_wherever_it_stands(secret):
    assert mask_text(f"before {secret} after") == f"before {MASK} after"
    assert mask_value("x", [{"y": f"<{secret}>"}]) == [{"y": f"<{MASK}>"}]
    assert secret not in mask_source(f"call('{secret}')")


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_passwd",
        "API_TOKEN",
        "apiKey",
        "aws_secret_access_key",
        "credentials",
        "auth",
        "authorization",
        "key",
        "signing_key",
        "pwd",
    ],
)
def test_a_text_is_masked_by_its_name(name):
    assert mask_value(name, "hunter2") == MASK
    assert mask_value("outer", {name: "hunter2"}) == {name: MASK}
    assert mask_value(name, ["hunter2", ("x",)]) == [MASK, [MASK]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 512),
        ("password", ""),
        ("use_token", True),
        ("token", None),
        ("tokenizer", "bert-base"),
        ("tokenization", "bpe"),
        ("author", "Ada"),
        ("authors", "Ada"),
        ("monkey", "capuchin"),
        ("keyboard", "qwerty"),
        ("hidden", "relu"),
    ],
)
def test_what_is_no_secret_stands(name, value):
    assert mask_value(name, value) == value


def test_a_password_in_a_url_goes_and_the_rest_stays():
    text = "postgresql://me:hunter2@db.example:5432/x?y=1 and s3://bucket/a@b"
    masked = mask_text(text)
    assert masked == f"postgresql://{MASK}@db.example:5432/x?y=1 and s3://bucket/a@b"


@pytest.mark.parametrize(
    "source",
    [
        'password = "hunter2"',
        "password='hunter2'",
        'db_password: str = "hunter2"',
        'os.environ["API_TOKEN"] = "hunter2"',
        "login(user='me', token='hunter2')",
        "conf = {'secret': 'hunter2'}",
        'conf = {"api_key" : "hunter2"}',
        'self.auth = b"hunter2"',
        'password = """\nhunter2\n"""',
        "password = r'hunter2\\'x'",
        'url = "https://me:hunter2@example.com"',
    ],
)
def test_a_secret_in_source_is_masked_and_the_rest_stays(source):
    masked = mask_source(f"a = 1\n{source}\nb = 'kept'\n")
    assert "hunter2" not in masked
    assert MASK in masked
    assert masked.startswith("a = 1\n")
    assert masked.endswith("\nb = 'kept'\n")


@pytest.mark.parametrize(
    "source",
    ["tokenizer = 'bert-base'", "author = 'Ada'", "max_tokens = 512", "x = tokens[0]\ny = 'text'"],
)
def test_source_without_a_secret_is_left_alone(source):
    assert mask_source(source) == source


def test_settings_without_quotes_are_masked_in_magic_lines():
    source = (
        "%env DB_PASSWORD=hunter2\n!export API_KEY=hunter2 && ls\nx = 'Host=a;Password=hunter2;'"
    )
    masked = mask_source(source)
    assert "hunter2" not in masked
    assert "Host=a" in masked
    assert "hunter2" in secret_values(source)


def test_a_value_masked_by_its_name_is_masked_wherever_it_stands():
    values = secret_values("password = 'hunter2'")
    assert mask_values("login with hunter2 failed", values) == "login with *** failed"


@pytest.mark.parametrize("name", ["sort_key", "primary_key", "auth_mode", "author", "tokenizer"])
def test_what_only_sounds_like_a_credential_is_kept(name):
    assert mask_value(name, "value") == "value"
    assert not is_secret_name(name)
