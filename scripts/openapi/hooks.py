"""Tokens for Schemathesis, which scripts/test-openapi.sh runs.

The tests sign out, change passwords and remove users, also those whose tokens they
bear. So every request gets a token that is known to be good, of a new user if need be.

  OPENAPI_URL       where the API is
  OPENAPI_AS        user or admin; anything else: no tokens
  OPENAPI_DATABASE  the SQLite file in which a new user is made an admin
  OPENAPI_ADMIN_EMAIL, OPENAPI_ADMIN_PASSWORD_FILE  instead, an admin who is there
"""

import json
import os
import secrets
import sqlite3
import urllib.error
import urllib.request

import schemathesis

URL = os.environ["OPENAPI_URL"].rstrip("/")
ROLE = os.environ["OPENAPI_AS"]
PASSWORD = "correct horse battery staple"
TIMEOUT = 30


def call(method, path, body=None, token=None):
    """The status and the JSON of the answer."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def expect(status, answer):
    """The JSON of an answer that must have this status."""
    if answer[0] != status:
        raise RuntimeError(f"expected {status}: {answer}")
    return answer[1]


def new_token():
    """The token of a new user of the role, or of the admin who is there."""
    if ROLE == "admin" and "OPENAPI_ADMIN_EMAIL" in os.environ:
        with open(os.environ["OPENAPI_ADMIN_PASSWORD_FILE"], encoding="utf-8") as file:
            return login(os.environ["OPENAPI_ADMIN_EMAIL"], file.read().strip())
    email = f"fuzz-{secrets.token_hex(8)}@example.com"
    user = {"email": email, "name": "Fuzz", "password": PASSWORD}
    user_id = expect(201, call("POST", "/api/v1/users", user))["id"]
    if ROLE == "admin":
        database = sqlite3.connect(os.environ["OPENAPI_DATABASE"], timeout=TIMEOUT)
        with database:
            database.execute("UPDATE users SET role = 'admin' WHERE id = ?", (user_id,))
        database.close()
    return login(email, PASSWORD)


def login(email, password):
    """The token of a user who is there."""
    credentials = {"email": email, "password": password}
    return expect(200, call("POST", "/api/v1/auth/login", credentials))["access_token"]


if ROLE in ("user", "admin"):

    @schemathesis.auth(refresh_interval=None)
    class Token:
        """Gives every request its token."""

        token = None

        def get(self, case, context):
            cls = type(self)
            if cls.token is None or call("GET", "/api/v1/auth/session", token=cls.token)[0] != 200:
                cls.token = new_token()
            return cls.token

        def set(self, case, data, context):
            case.headers = case.headers or {}
            case.headers["Authorization"] = f"Bearer {data}"
