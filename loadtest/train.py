#!/usr/bin/env python3
"""Shows an instrumented gateway what its days will be like, for a profile-guided build.

    python3 loadtest/train.py --bin PATH [--seconds 4]

`deploy/build` calls this between its builds, and at last to see that the one to ship serves. Each kind
of traffic gets a few seconds: plain proxying, the whole job of tokens, limits, breakers and logs, traces,
bodies, TLS with HTTP/1 and HTTP/2, refusals and connections that come and go."""
import argparse, os, re, shutil, subprocess, sys, tempfile

import run

POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\nwrk.headers["Content-Type"] = "text/plain"\n'


def certificate(directory):
    cert, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "cert.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
    subprocess.run(command, capture_output=True, check=True)
    return cert, key


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
    token, _, jwks = run.signed_token(directory)
    cert, key = certificate(directory)
    small, large = (run.write(directory, f"post{size}.lua", POST.format(size=size)) for size in (512, 100_000))
    secure = run.free_port()
    policies = f"""traces = {{ sample = "5%", otlp = "http://127.0.0.1:{upstream}" }}
{run.policies(jwks)}
[listeners.secure]
bind = "127.0.0.1:{secure}"
tls = {{ certs = [{{ chain = "{cert}", key = {{ file = "{key}" }} }}] }}
"""
    for extra, service, route in (("", "", ""), (policies, 'breaker = "b"', 'auth = "users"\nlimits = ["per-user"]')):
        port = run.free_port()
        config = run.tyrian_config(directory, port, run.free_port(), run.free_port(), upstream, 0, extra, service, route, "-" if extra else "off")
        command = [binary, "run", "-c", config, "--state", os.path.join(directory, "state")]
        gateway = run.Proxy("tyrian", 0, command, port, "")
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
        upstream = run.answering(directory)
        try:
            train(directory, args.bin, upstream.port, args.seconds)
        finally:
            upstream.stop()


if __name__ == "__main__":
    main()
