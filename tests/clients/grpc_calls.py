"""Calls of every kind through a gateway, by the reference implementation of gRPC.

Prints the port of a backend of its own, reads the gateway's address from standard input, and ends
with 0 if every call went as it should.
"""

import sys
import threading
import time

import grpc
from concurrent import futures

MESSAGES = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
cancelled = threading.Event()


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    if "x-echo-initial" in metadata:
        context.send_initial_metadata((("x-echo-initial", metadata["x-echo-initial"]),))
    if "x-echo-bin" in metadata:
        context.set_trailing_metadata((("x-echo-bin", metadata["x-echo-bin"]),))
    if request == b"deadline":
        return str(context.time_remaining()).encode()
    if request == b"sleep":
        time.sleep(5)
    if request.startswith(b"status:"):
        code = int(request[7:])
        context.abort([known for known in grpc.StatusCode if known.value[0] == code][0], "as asked")
    return request


def bidi(requests, context):
    context.add_callback(cancelled.set)
    for request in requests:
        yield request


class Backend(grpc.GenericRpcHandler):
    def service(self, details):
        return {
            "/t.S/Unary": grpc.unary_unary_rpc_method_handler(unary),
            "/t.S/Sum": grpc.stream_unary_rpc_method_handler(lambda r, c: str(sum(map(len, r))).encode()),
            "/t.S/Count": grpc.unary_stream_rpc_method_handler(lambda r, c: (b"%d" % n for n in range(int(r)))),
            "/t.S/Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        }.get(details.method)


server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[Backend()], options=MESSAGES)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
channel = grpc.insecure_channel(sys.stdin.readline().strip(), MESSAGES)
call = channel.unary_unary("/t.S/Unary")
failed = []


def case(name, check):
    try:
        if not check():
            failed.append(name)
    except Exception as error:  # the next case still counts
        failed.append(f"{name}: {error!r}")


def ends_with(code, request, **options):
    try:
        call(request, **options)
        return False
    except grpc.RpcError as error:
        return error.code() == code


def metadata():
    pairs = (("x-echo-initial", "begin"), ("x-echo-bin", b"\0\1\2\xff"))
    answer, done = call.with_call(b"x", metadata=pairs, timeout=10)
    initial, trailing = dict(done.initial_metadata()), dict(done.trailing_metadata())
    return initial.get("x-echo-initial") == "begin" and trailing.get("x-echo-bin") == b"\0\1\2\xff"


def deadline():
    left = float(call(b"deadline", timeout=20))
    # The client rounds what it says up a little.
    return 5 < left < 21 or sys.exit(f"{left} seconds are left of 20")


def cancel():
    cancelled.clear()
    gate = threading.Event()

    def requests():
        yield b"one"
        gate.wait(10)

    stream = channel.stream_stream("/t.S/Bidi")(requests(), timeout=20)
    next(stream)
    stream.cancel()
    seen = cancelled.wait(5)
    gate.set()
    return seen


def ping_pong():
    queue = []
    ready = threading.Condition()

    def requests():
        for turn in range(50):
            with ready:
                ready.wait_for(lambda: len(queue) > turn, 10)
            yield queue[turn]

    queue.append(b"0")
    for turn, answer in enumerate(channel.stream_stream("/t.S/Bidi")(requests(), timeout=30)):
        if answer != b"%d" % turn:
            return False
        with ready:
            queue.append(b"%d" % (turn + 1))
            ready.notify()
    return turn == 49


case("empty", lambda: call(b"", timeout=10) == b"")
case("8 MiB both ways", lambda: len(call(b"x" * (8 << 20), timeout=60)) == 8 << 20)
case("client stream", lambda: channel.stream_unary("/t.S/Sum")((b"x" * 100 for _ in range(5000)), timeout=30) == b"500000")
case("server stream", lambda: sum(1 for _ in channel.unary_stream("/t.S/Count")(b"3000", timeout=30)) == 3000)
case("ping pong", ping_pong)
case("metadata both ways", metadata)
case("a status", lambda: ends_with(grpc.StatusCode.DATA_LOSS, b"status:15", timeout=10))
case("a deadline passes", lambda: ends_with(grpc.StatusCode.DEADLINE_EXCEEDED, b"sleep", timeout=0.3))
case("a deadline goes up", deadline)
case("a cancel goes up", cancel)
case("many at once", lambda: [f.result() for f in [call.future(b"%d" % n, timeout=30) for n in range(500)]] == [b"%d" % n for n in range(500)])
case("nobody there", lambda: server.stop(0).wait() and ends_with(grpc.StatusCode.UNAVAILABLE, b"x", timeout=5))
print("\n".join(failed) or "all calls went as they should", file=sys.stderr)
sys.exit(1 if failed else 0)
