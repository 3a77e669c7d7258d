"""What schemathesis must know of Bellhop: each call has an address (limits are per address), some ids must live for the
whole run, and two checks of ours. Environment: BELLHOP_KEEP, ids that are never deleted, with commas."""

import os
import random
import re

import schemathesis

KEEP = {it for it in os.environ.get("BELLHOP_KEEP", "").split(",") if it}
ADDRESSES = random.Random(7)
ALWAYS = {
    "x-content-type-options": re.compile(r"^nosniff$"),
    "referrer-policy": re.compile(r"^no-referrer$"),
    "content-security-policy": re.compile(r"default-src 'none'"),
    "cache-control": re.compile(r"no-store|max-age="),
}


@schemathesis.hook
def before_call(context, case, kwargs):
    """The server trusts this machine as a proxy; every call comes from another client."""
    address = ".".join(str(ADDRESSES.randrange(1, 255)) for _ in range(4))
    case.headers["X-Forwarded-For"] = address
    if case.method.upper() == "DELETE" and case.path_parameters.get("id") in KEEP:
        case.path_parameters["id"] = "0" * 32


def _body(response):
    try:
        return response.json()
    except ValueError:
        return None


@schemathesis.check
def every_refusal_is_explained(ctx, response, case):
    """A code for programs, a sentence for people, and the field at fault where there is one."""
    if response.status_code < 400 or case.method.upper() in ("HEAD", "TRACE"):
        return
    body = _body(response)
    error = body.get("error") if isinstance(body, dict) else None
    assert isinstance(error, dict), f"no error in the body of a {response.status_code}"
    code, message = error.get("code"), error.get("message")
    assert isinstance(code, str) and re.fullmatch("[a-z_]+", code), f"code is {code!r}"
    assert isinstance(message, str) and re.search(r"[.!]$", message), f"message is {message!r}"
    assert len(message) < 600, "a refusal repeats its input at length"
    if response.status_code == 422 and code != "not_object":
        # A field may have the empty name.
        assert isinstance(error.get("field"), str), f"{code} names no field: {message}"
    if response.status_code in (429, 503):
        assert response.headers.get("retry-after"), "no Retry-After"


@schemathesis.check
def every_answer_has_the_security_headers(ctx, response, case):
    for name, rule in ALWAYS.items():
        value = ", ".join(response.headers.get(name) or [])
        assert rule.search(value), f"{name}: {value!r}"
