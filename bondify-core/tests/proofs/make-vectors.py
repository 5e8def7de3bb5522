"""Makes vectors-pyjwt.json with PyJWT, a second implementation of JWT that shares nothing with
ours:

    pip install pyjwt==2.15.1 && python make-vectors.py > vectors-pyjwt.json

Each vector is as those of make-vectors.mjs: a token, the time to judge it at (Unix seconds) and
"ok", or the code that is answered.
"""

import json

import jwt

SECRET = "whsec_5f2b0c9d8e7a6b5c4d3e2f1a"
ISSUED = 1_700_000_000
CLAIMS = {
    "telegram_id": "7123456789",
    "telegram_name": "Ada Lovelace",
    "telegram_username": None,
    "project_id": "proj_vectors",
    "session_token": "sess_vectors",
    "confirmed_at": ISSUED * 1000 - 123,
    "iat": ISSUED,
    "exp": ISSUED + 300,
}
vectors = []


def add(name, token, expected, now=ISSUED + 10):
    vectors.append({"name": name, "token": token, "now": now, "expected": expected})


def sign(claims=CLAIMS, key=SECRET, algorithm="HS256", headers=None):
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def without(name):
    return {other: value for other, value in CLAIMS.items() if other != name}


add("PyJWT: everything filled in", sign(), "ok")
add("PyJWT: escapes in the name", sign({**CLAIMS, "telegram_name": "İlker 🦀 \"\\\t\u0000"}), "ok")
add("PyJWT: half an emoji in the name", sign({**CLAIMS, "telegram_name": "Ada \ud83d"}), "ok")
add("PyJWT: a claim called by half an emoji", sign({**CLAIMS, "\ud83d": 1}), "ok")
add("PyJWT: a key id", sign(headers={"kid": "1"}), "ok")
add("PyJWT: no type", sign(headers={"typ": None}), "ok")
add("PyJWT: another type", sign(headers={"typ": "at+jwt"}), "ok")
add("PyJWT: an exponent", sign({**CLAIMS, "confirmed_at": 1.7e22}), "ok")
add("PyJWT: expired", sign(), "TOKEN_EXPIRED", ISSUED + 330)
add("PyJWT: issued in the future", sign(), "INVALID_TOKEN", ISSUED - 31)
for name in ["telegram_id", "telegram_name", "project_id", "session_token", "iat", "exp"]:
    add(f"PyJWT: no {name}", sign(without(name)), "MISSING_FIELDS")
add("PyJWT: another project", sign({**CLAIMS, "project_id": "proj_other"}), "WRONG_PROJECT")
add("PyJWT: another secret", sign(key="whsec_another"), "INVALID_SIGNATURE")
add("PyJWT: HS384", sign(algorithm="HS384"), "INVALID_TOKEN")
add("PyJWT: HS512", sign(algorithm="HS512"), "INVALID_TOKEN")
add("PyJWT: none", sign(key=None, algorithm="none"), "INVALID_TOKEN")
add("PyJWT: an extension that must be understood", sign(headers={"crit": ["b64"], "b64": True}), "INVALID_TOKEN")

print(json.dumps({"secret": SECRET, "project": CLAIMS["project_id"], "vectors": vectors}, indent=2))
