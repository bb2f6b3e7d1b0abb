#!/usr/bin/env python3
"""Proves, before anything is measured, that the proxies of a job do the same work.

Each function returns complaints as texts: an empty list is what a run goes on with."""
import http.client, ipaddress, re, socket, ssl, subprocess, time

from keys import base64url
from peers import proxies
from processes import PROXY_CORE, Proxy
from upstream import BODY, CALL, MESSAGE

LOW = 5  # requests a second, to see that a limit counts


def get(port, path="/", **headers):
    """Status, headers by lower-case name, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def curl2(port, path, *arguments):
    """Like `get`, over HTTP/2 without TLS."""
    command = ["curl", "-sS", "-i", "--http2-prior-knowledge", "--max-time", "10", *arguments, f"http://127.0.0.1:{port}{path}"]
    out = subprocess.run(command, capture_output=True, timeout=20).stdout
    head, _, body = out.partition(b"\r\n\r\n")
    lines = head.decode(errors="replace").splitlines() or [""]
    status = re.match(r"HTTP/2 (\d+)", lines[0])
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(status[1]) if status else 0, headers, body


def seen(body):
    """What the upstream says it was sent."""
    return dict(part.split("=", 1) for part in body.decode(errors="replace").split() if "=" in part)


def forwarded(answers):
    """Two answers of `/seen`: same body, a new request id each time in both directions, the client's address."""
    complaints, ids = [], []
    for status, headers, body in answers:
        sent = seen(body)
        ids.append(sent.get("id"))
        if status != 200:
            complaints.append(f"status {status} instead of 200")
        if not sent.get("id") or headers.get("x-request-id") != sent.get("id"):
            complaints.append(f"request id {sent.get('id')!r} upstream, {headers.get('x-request-id')!r} downstream")
        try:
            ipaddress.ip_address(sent.get("for", ""))
        except ValueError:
            complaints.append(f"x-forwarded-for is {sent.get('for')!r}")
        if sent.get("host") != "127.0.0.1":
            complaints.append(f"host is {sent.get('host')!r}")
    return complaints + (["the same request id twice"] if len(set(ids)) < len(ids) else [])


def plain(proxy, setting):
    status, _, body = get(proxy.port)
    wrong = [] if (status, body) == (200, BODY.encode()) else [f"status {status}, {len(body)} bytes"]
    return wrong + forwarded([get(proxy.port, "/seen") for _ in range(2)])


def http2(proxy, setting):
    status, _, body = curl2(proxy.port, "/")
    wrong = [] if (status, body) == (200, BODY.encode()) else [f"status {status}, {len(body)} bytes"]
    return wrong + forwarded([curl2(proxy.port, "/seen") for _ in range(2)])


def trailers(port, setting):
    """The names and values that follow a call's data, by nghttp: curl does not show them."""
    command = ["nghttp", "-nv", "-d", setting.message, "-H", "content-type: application/grpc", "-H", "te: trailers"]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{CALL}"], capture_output=True, text=True, timeout=20).stdout
    _, _, rest = out.rpartition("recv DATA frame <length=37")
    return dict(re.findall(r"recv \(stream_id=\d+\) ([a-z-]+): (.*)", rest))


def grpc(proxy, setting):
    """The message, the status in the trailers, a request id in both directions."""
    ask = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@" + setting.message]
    status, headers, message = curl2(proxy.port, CALL, *ask)
    good = {
        "status": status == 200, "content-type": headers.get("content-type", "").startswith("application/grpc"),
        "message": message == MESSAGE, "grpc-status after the data": trailers(proxy.port, setting).get("grpc-status") == "0",
        "request id": headers.get("x-seen-id") and headers.get("x-request-id") == headers.get("x-seen-id"),
    }
    return [f"{what} is wrong: {status} {headers} {message[-80:]!r}" for what, fine in good.items() if not fine]


def tls(proxy, setting):
    """TLS 1.3 with the request that the client sends, a ticket, and a handshake that resumes by it."""
    context = ssl.create_default_context(cafile=setting.cert)
    complaints, session = [], None
    for resumes in (False, True):
        with socket.create_connection(("127.0.0.1", proxy.port), 10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as s:
                s.sendall(b"GET /fixed HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: read_some(s), b""))
                session = s.session
                if (s.version(), s.session_reused) != ("TLSv1.3", resumes):
                    complaints.append(f"{s.version()}, resumed: {s.session_reused} instead of {resumes}")
        if not re.match(rb"HTTP/1\.[01] 200 ", answer) or not answer.endswith(b"\r\n\r\nok"):
            complaints.append(f"answer {answer!r}")
    return complaints


def read_some(s):
    try:
        return s.recv(65536)
    except ssl.SSLEOFError:
        return b""


def tokens(issuer):
    """Tokens that must be refused, by what is wrong with them."""
    good = issuer.token()
    head, claims, signature = good.split(".")
    other = base64url(b"\0" * 256)
    none = base64url(b'{"alg":"none","typ":"JWT"}')
    return {
        "another signature": f"{head}.{claims}.{other}", "no signature": f"{none}.{claims}.",
        "claims of another token": f"{head}.{issuer.token(sub='eve').split('.')[1]}.{signature}",
        "expired": issuer.token(exp=int(time.time()) - 7200), "another issuer": issuer.token(iss="https://evil.example.com/"),
        "another audience": issuer.token(aud="blog"),
    }


def full(proxy, setting):
    """Token verified, its `sub` sent upstream in place of the client's, color by header."""
    ask = lambda token, **more: get(proxy.port, "/seen", Authorization=f"Bearer {token}", x_user_id="eve", **more)
    good = setting.issuer.token()
    complaints = forwarded([ask(good), ask(good)])
    for headers, port in (({}, setting.v1), ({"x_group": "beta"}, setting.v2)):
        found = seen(ask(good, **headers)[2])
        if found.get("port") != str(port) or found.get("user") != "alice":
            complaints.append(f"with {headers}: {found} instead of port {port} and alice")
    if (status := get(proxy.port, "/seen")[0]) != 401:
        complaints.append(f"no token: status {status} instead of 401")
    for what, token in tokens(setting.issuer).items():
        if (status := ask(token)[0]) not in (401, 403):  # Envoy answers 403 to another audience
            complaints.append(f"{what}: status {status} instead of 401")
    return complaints


def limited(setting):
    """Starts each proxy with a low limit: alice is refused beyond it, bob is not.

    Runs before the measured proxies start: the gateway would load the file that it writes anew."""
    complaints = []
    for name, command, port, version in proxies(setting, "full", LOW):
        running = Proxy(name, PROXY_CORE, command, port, version)
        ask = lambda who: get(port, Authorization=f"Bearer {who}")[0]
        alice, bob = setting.issuer.token(), setting.issuer.token(sub="bob")
        statuses = [ask(alice) for _ in range(4 * LOW)]
        served, refused = statuses.count(200), statuses.count(429)
        # More than the limit, should the machine be slow: the bucket refills meanwhile.
        if statuses[:LOW] != [200] * LOW or not refused or served + refused != len(statuses):
            complaints.append(f"{name} with a limit of {LOW} answered {statuses}")
        if (status := ask(bob)) != 200:
            complaints.append(f"{name}: bob has {status} because of alice")
        running.stop()
    return complaints


def bodies(proxy, setting):
    """The measuring client itself compares status and size."""
    return []


PROOFS = {"bare": plain, "rate": plain, "full": full, "http2": http2, "grpc": grpc, "tls": tls, "bodies": bodies}


def complaints(work, running, setting):
    """All that is wrong before a job is measured; `work` is what the proxies were configured for."""
    found = []
    for proxy in running:
        try:
            found += [f"{proxy.name}: {text}" for text in PROOFS[work](proxy, setting)]
        except (OSError, http.client.HTTPException) as error:
            found.append(f"{proxy.name}: {error!r}")
    return found
