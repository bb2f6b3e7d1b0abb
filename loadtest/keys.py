#!/usr/bin/env python3
"""Keys of a load test, made anew each time by the openssl tool: a token issuer and a certificate."""
import base64, json, os, subprocess, time

from processes import write

ISSUER, AUDIENCE = "https://id.example.com/", "shop"


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True, **more).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens by RS256; its public key is there as PEM (`public`) and as JWKS (`jwks`)."""

    def __init__(self, directory):
        self.key, self.public = os.path.join(directory, "key.pem"), os.path.join(directory, "pub.pem")
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)
        openssl("pkey", "-in", self.key, "-pubout", "-out", self.public)
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus", text=True).strip().split("=")[1]
        key = {"kty": "RSA", "kid": "k", "alg": "RS256", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}
        self.jwks = write(directory, "jwks.json", json.dumps({"keys": [key]}))

    def token(self, **claims):
        """A good token of alice, but for the claims that are given."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 7200}
        usual |= {"scope": "shop:read", "email": "alice@example.com"}
        parts = ({"alg": "RS256", "kid": "k", "typ": "JWT"}, usual | claims)
        message = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        return message + "." + base64url(openssl("dgst", "-sha256", "-sign", self.key, input=message.encode()))


def certificate(directory):
    """A certificate for localhost by an ECDSA key on P-256: paths of the certificate and of its key."""
    cert, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "cert.key")
    curve, names = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "subjectAltName=DNS:localhost"
    openssl("req", "-x509", *curve, "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", cert)
    return cert, key
