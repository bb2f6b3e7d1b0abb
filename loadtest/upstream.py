#!/usr/bin/env python3
"""What all proxies of a load test forward to, on the other core."""
import contextlib, multiprocessing, os, socket

from peers import nginx_command
from processes import OTHER_CORE, Proxy, free_port, write

BODY = "x" * 64
MESSAGE = b"\0" + (32).to_bytes(4, "big") + b"y" * 32  # one gRPC message of 32 bytes
CALL = "/load.Echo/Unary"
GIB = 1 << 30
SEEN = "port=$server_port host=$host for=$http_x_forwarded_for id=$http_x_request_id user=$http_x_user_id"


def nginx_upstream(directory, more=""):
    """An nginx that answers 64 bytes on two ports, what it was sent at `/seen`, and gRPC calls on a third.

    `more` is a further server. The result has the ports as `port`, `second` and `grpc`."""
    first, second, grpc = free_port(), free_port(), free_port()
    www = os.path.join(directory, "www")
    os.makedirs(www, exist_ok=True)
    with open(os.path.join(www, "answer.grpc"), "wb") as f:
        f.write(MESSAGE)
    # A file is the only answer of nginx that may have zero bytes in it; here it is the page of error 404.
    # `mirror` has the request read to its end first: an answer before that may end in RST_STREAM, which some
    # proxies take for a fault of the next call on the connection.
    body = f"""server {{ listen 127.0.0.1:{first}; listen 127.0.0.1:{second};
  location / {{ return 200 '{BODY}'; }} location = /seen {{ return 200 '{SEEN}'; }} }}
server {{ listen 127.0.0.1:{grpc} http2; root {www}; default_type application/grpc; etag off; max_ranges 0; open_file_cache max=8;
  location / {{ mirror /read; log_not_found off; error_page 404 =200 /answer.grpc; }} location = /read {{ internal; return 204; }}
  location = /answer.grpc {{ add_header Last-Modified ""; add_header X-Seen-Id $http_x_request_id; add_trailer grpc-status 0; }} }}
{more}"""
    running = Proxy("upstream", OTHER_CORE, nginx_command(directory, "upstream", body), first, "")
    running.second, running.grpc = second, grpc
    return running


def serve_bodies(listening, big, size):
    """Sends a file to each client that asks, and takes what it is sent."""
    buffer = bytearray(1 << 20)
    while True:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            serve_body(connection, buffer, big, size)


def serve_body(connection, buffer, big, size):
    head = b""
    while b"\r\n\r\n" not in head:
        if not (more := connection.recv(65536)):
            return
        head += more
    fields, _, body = head.partition(b"\r\n\r\n")
    lengths = (line[15:] for line in fields.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    length = int(next(lengths, 0))
    left = length - len(body)
    while left > 0 and (read := connection.recv_into(buffer)):
        left -= read
    answer = 0 if length else size
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % answer)
    if answer:
        with open(big, "rb") as f:
            connection.sendfile(f)


class Bodies:
    """An upstream for large bodies; `file` is one to send, of `size` bytes."""

    def __init__(self, directory, size):
        self.size, self.file = size, write(directory, "big", "")
        os.truncate(self.file, size)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        fork = multiprocessing.get_context("fork")
        self.process = fork.Process(target=serve_bodies, args=(listening, self.file, size), daemon=True)
        self.process.start()
        listening.close()
        os.sched_setaffinity(self.process.pid, {OTHER_CORE})

    def stop(self):
        self.process.kill()
        self.process.join()
