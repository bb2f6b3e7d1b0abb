#!/usr/bin/env python3
"""The gateway's own configuration for a load test."""
import os

from keys import AUDIENCE, ISSUER
from processes import free_port, version, write

LIMIT = 10_000_000  # requests a second and user: counted, but never reached


def tyrian_config(directory, port, admin, metrics, upstream, routes=0, extra="", service="", route="", log="off", second=None, listener="", http="h1"):
    """Writes a configuration whose one route sends everything to `upstream`, and color canary to `second`."""
    text = f"""[server]
threads = 1
[listeners.web]
bind = "127.0.0.1:{port}"
{listener}
[admin]
bind = "127.0.0.1:{admin}"
metrics = "127.0.0.1:{metrics}"
[services.up]
default = "v1"
{service}
versions.v1 = {{ endpoints = ["127.0.0.1:{upstream}"], http = "{http}" }}
versions.v2 = {{ endpoints = ["127.0.0.1:{second or upstream}"], http = "{http}" }}
[colors.canary]
when = [{{ header = {{ x-group = "beta" }} }}]
versions = {{ up = "v2" }}
[routes.all]
match = {{ path = "/*" }}
service = "up"
{route}
[telemetry]
access_log = {{ path = "{log}" }}
{extra}
"""
    for i in range(routes):
        text += f'[routes.r{i}]\nmatch = {{ host = "h{i // 10}.example.com", path = "/api/{i}/*" }}\nservice = "up"\n'
    return write(directory, "tyrian.toml", text)


def policies(jwks, limit=LIMIT):
    """The policies of the whole job. `POLICIES_SERVICE` and `POLICIES_ROUTE` apply them."""
    return f"""[jwt.users]
issuer = "{ISSUER}"
audience = ["{AUDIENCE}"]
algorithms = ["RS256"]
keys = {{ jwks_file = "{jwks}" }}
forward = {{ sub = "x-user-id" }}
[limits.per-user]
rate = "{limit}/s"
key = "jwt:sub"
[breakers.b]
trip = {{ error_rate = "50%" }}
"""


POLICIES_SERVICE = 'breaker = "b"'
POLICIES_ROUTE = 'auth = "users"\nlimits = ["per-user"]'
FIXED = '[routes.fixed]\nmatch = { path = "/fixed" }\nrespond = { status = 200, text = "ok" }\n'


def served(binary, config, directory):
    return [binary, "run", "-c", config, "--state", os.path.join(directory, "state")]


def first_upstream(setting, job):
    """The port that a job's requests go to, but for those of a color."""
    if job == "grpc":
        return setting.grpc
    return setting.bodies if job == "bodies" else setting.v1


def tyrian(setting, job, limit=LIMIT):
    """The gateway for a job: name, command, port, version."""
    port, more = free_port(), {}
    if job == "full":
        more = {"extra": policies(setting.issuer.jwks, limit), "service": POLICIES_SERVICE, "route": POLICIES_ROUTE}
    if job == "grpc":
        more = {"http": "h2c"}
    if job == "tls":
        cert = f'tls = {{ certs = [{{ chain = "{setting.cert}", key = {{ file = "{setting.key}" }} }}], min_version = "1.3" }}'
        more = {"listener": cert, "extra": FIXED}
    first = first_upstream(setting, job)
    config = tyrian_config(setting.directory, port, free_port(), free_port(), first, setting.routes, second=setting.v2, **more)
    return "tyrian", served(setting.binary, config, setting.directory), port, version([setting.binary, "version"])
