#!/usr/bin/env python3
"""Shows an instrumented gateway what its days will be like, for a profile-guided build.

    python3 loadtest/train.py --bin PATH [--seconds 4]

`deploy/build` calls this between its builds, and at last to see that the one to ship serves. Each kind
of traffic gets a few seconds: plain proxying, the whole job of tokens, limits, breakers and logs, traces,
bodies, TLS with HTTP/1 and HTTP/2, refusals and connections that come and go."""
import argparse, re, shutil, subprocess, sys, tempfile

from gateway import POLICIES_ROUTE, POLICIES_SERVICE, policies, served, tyrian_config
from keys import Issuer, certificate
from processes import PROXY_CORE, Proxy, free_port, write
from upstream import nginx_upstream

POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\nwrk.headers["Content-Type"] = "text/plain"\n'


def drive(command, seconds, served):
    """Runs a client for so long; ends everything if nothing was served."""
    out = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30).stdout
    count = re.search(rf"(\d+) {served}", out)
    if not count or count[1] == "0":
        sys.exit(f"nothing was served: {' '.join(command)}\n{out}")


def wrk(port, seconds, *arguments, scheme="http"):
    drive(["wrk", "-t1", "-c32", f"-d{seconds}s", *arguments, f"{scheme}://localhost:{port}/"], seconds, "requests in")


def h2load(port, seconds, *arguments, scheme="http"):
    drive(["h2load", "-c8", "-m16", f"-D{seconds}", *arguments, f"{scheme}://localhost:{port}/"], seconds, "succeeded")


def train(directory, binary, upstream, seconds):
    issuer = Issuer(directory)
    token = issuer.token()
    cert, key = certificate(directory)
    small, large = (write(directory, f"post{size}.lua", POST.format(size=size)) for size in (512, 100_000))
    secure = free_port()
    whole = f"""traces = {{ sample = "5%", otlp = "http://127.0.0.1:{upstream}" }}
{policies(issuer.jwks)}
[listeners.secure]
bind = "127.0.0.1:{secure}"
tls = {{ certs = [{{ chain = "{cert}", key = {{ file = "{key}" }} }}] }}
"""
    for extra, service, route in (("", "", ""), (whole, POLICIES_SERVICE, POLICIES_ROUTE)):
        port = free_port()
        config = tyrian_config(directory, port, free_port(), free_port(), upstream, 0, extra, service, route, "-" if extra else "off")
        gateway = Proxy("tyrian", PROXY_CORE, served(binary, config, directory), port, "")
        signed = ["-H", f"authorization: Bearer {token}"] if extra else []
        wrk(port, 3 * seconds, *signed, "-H", "x-group: beta")
        wrk(port, seconds, *signed)
        wrk(port, seconds, *signed, "-s", small)
        wrk(port, seconds, *signed, "-s", large)
        wrk(port, seconds, *signed, "-H", "Connection: close")
        h2load(port, seconds, *signed)
        if extra:
            wrk(port, 1, "-H", "Authorization: Bearer a.b.c")
            wrk(secure, seconds, *signed, scheme="https")
            wrk(secure, seconds, *signed, "-H", "Connection: close", scheme="https")
            h2load(secure, seconds, *signed, scheme="https")
        gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--seconds", type=int, default=4)
    args = parser.parse_args()
    for tool in ("wrk", "nginx", "h2load", "openssl", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install wrk nginx-light nghttp2-client openssl util-linux")
    with tempfile.TemporaryDirectory() as directory:
        upstream = nginx_upstream(directory)
        try:
            train(directory, args.bin, upstream.port, args.seconds)
        finally:
            upstream.stop()


if __name__ == "__main__":
    main()
