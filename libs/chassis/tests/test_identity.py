"""Check which tokens are valid and what their roles may do."""

import base64
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from ticketcap_chassis.errors import NotFound, PermissionDenied, Unauthenticated, Unavailable
from ticketcap_chassis.identity.roles import ADMINS, Principal, Role
from ticketcap_chassis.identity.tokens import TokenVerifier, bearer_token, looks_like_jwt

SECRET = "x" * 40


def signed(secret: str = SECRET, **claims: Any) -> str:
    plain = {"sub": "u", "role": "OWNER", "school": "herzl", "exp": time.time() + 3600, "iss": "ticketcap"}
    present = {name: value for name, value in {**plain, **claims}.items() if value is not None}
    return jwt.encode(present, secret, algorithm="HS256")


def with_header(header: bytes) -> str:
    return f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.e30.x"


async def test_a_good_token_is_its_principal() -> None:
    """Subject, role and school; SUPER_ADMIN has none."""
    verifier = TokenVerifier(secret=SECRET)
    assert await verifier.verify(signed()) == Principal("u", Role.OWNER, "herzl")
    assert await verifier.verify(signed(role="SUPER_ADMIN")) == Principal("u", Role.SUPER_ADMIN, None)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed("y" * 40), "TOKEN_INVALID"),
        (signed(exp=time.time() - 60), "TOKEN_EXPIRED"),
        (signed(exp=None), "TOKEN_INVALID"),
        (signed(role="KING"), "TOKEN_INVALID"),
        (signed(role=None), "TOKEN_INVALID"),
        (signed(school=None), "TOKEN_INVALID"),
        (signed(school=7), "TOKEN_INVALID"),
        (signed(iss="other"), "TOKEN_INVALID"),
        (signed(exp=[1]), "TOKEN_INVALID"),
        (signed(exp=float("inf")), "TOKEN_INVALID"),
        ("a.b.c", "TOKEN_INVALID"),
        (with_header(b"[" * 2900), "TOKEN_INVALID"),
        (with_header(b'{"alg":"HS256","x":' + b"[" * 2000), "TOKEN_INVALID"),
        (with_header(b"\xff"), "TOKEN_INVALID"),
        ("x" * 5000, "UNAUTHENTICATED"),
    ],
)
async def test_a_token_that_does_not_hold_is_refused(token: str, reason: str) -> None:
    """Wrong key, expired, without a claim, too long."""
    with pytest.raises(Unauthenticated) as caught:
        await TokenVerifier(secret=SECRET).verify(token)
    assert caught.value.reason == reason


async def test_an_unsigned_token_is_refused() -> None:
    """The algorithm "none" opens nothing."""
    part = [base64.urlsafe_b64encode(json.dumps(x).encode()).rstrip(b"=").decode() for x in ({"alg": "none"}, {})]
    with pytest.raises(Unauthenticated):
        await TokenVerifier(secret=SECRET).verify(".".join([*part, ""]))


def test_exactly_one_source_of_keys() -> None:
    """A verifier without keys, or with two kinds, is a mistake at start."""
    both: dict[str, Any] = {"secret": SECRET, "jwks_url": "https://keys.example"}
    for wrong in ({}, both):
        with pytest.raises(ValueError, match="exactly one"):
            TokenVerifier(**wrong)


def test_a_role_too_low_is_denied_and_another_school_does_not_exist() -> None:
    """PERMISSION_DENIED at home, NOT_FOUND abroad."""
    viewer = Principal("u", Role.VIEWER, "herzl")
    with pytest.raises(PermissionDenied):
        viewer.require_school("herzl", ADMINS)
    with pytest.raises(NotFound):
        Principal("u", Role.OWNER, "herzl").require_school("other", ADMINS)


def test_bearer_headers() -> None:
    """The scheme in any case; anything else is no token."""
    assert bearer_token("bearer abc") == "abc"
    assert bearer_token("Basic abc") == bearer_token("") == ""
    assert looks_like_jwt("a.b.c")
    assert not looks_like_jwt("abc")


@pytest.fixture
def provider() -> Iterator[tuple[str, rsa.RSAPrivateKey]]:
    """An identity provider: its key set's address, and its private key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    keys = json.dumps({"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}).encode()

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/jwks", key
    server.shutdown()
    server.server_close()


CLAIMS = {"sub": "u", "role": "ADMIN", "school": "herzl", "exp": 2_000_000_000, "iss": "idp", "aud": "ticketcap"}


async def test_a_providers_key_verifies_its_tokens(provider: tuple[str, rsa.RSAPrivateKey]) -> None:
    """Signature, issuer and audience."""
    url, key = provider
    verifier = TokenVerifier(jwks_url=url, issuer="idp", audience="ticketcap")
    token = jwt.encode(CLAIMS, key, algorithm="RS256", headers={"kid": "one"})
    assert await verifier.verify(token) == Principal("u", Role.ADMIN, "herzl")
    for wrong in ({"aud": "other"}, {"iss": "other"}):
        token = jwt.encode({**CLAIMS, **wrong}, key, algorithm="RS256", headers={"kid": "one"})
        with pytest.raises(Unauthenticated):
            await verifier.verify(token)


async def test_a_public_key_is_no_shared_secret(provider: tuple[str, rsa.RSAPrivateKey]) -> None:
    """A token signed with HS256 under what the provider publishes is refused."""
    url, _ = provider
    token = jwt.encode(CLAIMS, "whatever is public, long enough for HS256", algorithm="HS256", headers={"kid": "one"})
    with pytest.raises(Unauthenticated):
        await TokenVerifier(jwks_url=url, issuer="idp", audience="ticketcap").verify(token)


async def test_a_provider_that_is_away_is_not_the_callers_fault() -> None:
    """UNAVAILABLE, not UNAUTHENTICATED."""
    token = jwt.encode(CLAIMS, SECRET, algorithm="HS256", headers={"kid": "one"})
    with pytest.raises(Unavailable):
        await TokenVerifier(jwks_url="http://127.0.0.1:1/jwks", issuer="idp").verify(token)
