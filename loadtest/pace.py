#!/usr/bin/env python3
"""A client that sends HTTP/1.1 requests at a fixed rate, whatever the answers do.

    python3 loadtest/pace.py PORT RATE SECONDS ['Name: value'...]

Request k is due at `start + k / rate`. Its latency is counted from that time, not from when it was sent:
when all connections are busy, or this process is late, the wait is part of the latency. So a server that
stalls is charged for the requests that a client would have sent meanwhile (no coordinated omission).
A timer of the kernel wakes the process for each request; clients that sleep in whole milliseconds send
bursts instead, and measure how a burst queues up.

Prints JSON: `count`, `errors`, `p50_ms`, `p99_ms`, `max_ms`, and `late_p99_ms`: how late requests were
sent because this process was late. Figures near that one say more of this process than of the server."""
import collections, ctypes, gc, json, os, select, socket, sys, time

CONNECTIONS = 64
PATIENCE = 2.0  # seconds to wait for the last answers
TFD_NONBLOCK, TFD_TIMER_ABSTIME = 0o4000, 1


class Timer:
    """A timer descriptor that becomes readable at a time of `time.perf_counter`, which is CLOCK_MONOTONIC."""

    class Spec(ctypes.Structure):
        _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.timerfd_create(time.CLOCK_MONOTONIC, TFD_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self.spec = Timer.Spec(0, 0, 0, 0)
        self.reference = ctypes.byref(self.spec)

    def set(self, at):
        self.spec.at_s = int(at)
        self.spec.at_ns = int(at % 1 * 1e9)
        self.libc.timerfd_settime(self.fd, TFD_TIMER_ABSTIME, self.reference, None)


class Pace:
    def __init__(self, port, rate, seconds, headers):
        fields = "".join(f"{header}\r\n" for header in headers)
        self.request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}\r\n".encode()
        self.rate, self.total = rate, int(rate * seconds)
        self.latencies, self.late, self.errors = [], [], collections.Counter()
        self.poll, self.idle, self.busy = select.epoll(), collections.deque(), {}
        for _ in range(CONNECTIONS):
            self.connect(port)

    def connect(self, port):
        """Opens a connection, and warms it up with one request."""
        s = socket.create_connection(("127.0.0.1", port), 5)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(self.request)
        answer = b""
        while not complete(answer):
            if not (more := s.recv(65536)):
                sys.exit("the server closes at once")
            answer += more
        self.judge(answer)
        s.setblocking(False)
        self.poll.register(s.fileno(), select.EPOLLIN)
        self.idle.append(s)

    def judge(self, answer):
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.errors[answer.split(b"\r\n", 1)[0].decode(errors="replace")] += 1

    def send_due(self, sent):
        """Sends what is due and has a connection; returns how many have been sent by now."""
        while sent < self.total and self.idle:
            due = self.start + sent / self.rate
            now = time.perf_counter()
            if due > now:
                break
            s = self.idle.popleft()
            s.send(self.request)
            self.late.append(now - max(due, self.freed))
            self.busy[s.fileno()] = [s, due, b""]
            sent += 1
        return sent

    def receive(self, fd):
        entry = self.busy.get(fd)
        if not entry:
            raise ConnectionError("an answer, or an end, that no request asked for")
        more = entry[0].recv(65536)
        now = time.perf_counter()
        entry[2] += more
        if not more:
            raise ConnectionError("the server closed a connection")
        if complete(entry[2]):
            self.latencies.append(now - entry[1])
            self.judge(entry[2])
            del self.busy[fd]
            if not self.idle:
                self.freed = now  # until now it was the server that kept requests back
            self.idle.append(entry[0])

    def run(self):
        timer = Timer()
        self.poll.register(timer.fd, select.EPOLLIN)
        self.start = self.freed = time.perf_counter()
        end, sent = self.start + self.total / self.rate + PATIENCE, self.send_due(0)
        while len(self.latencies) < self.total and time.perf_counter() < end:
            if sent < self.total and self.idle:
                timer.set(self.start + sent / self.rate)
            for fd, _ in self.poll.poll(0.1):
                if fd == timer.fd:
                    os.read(fd, 8)
                else:
                    self.receive(fd)
            sent = self.send_due(sent)
        if missing := self.total - len(self.latencies):
            self.errors["no answer in time"] += missing


def complete(answer):
    """Whether the answer is whole: its head, and as much body as the head says."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    at = head.lower().find(b"\r\ncontent-length:")
    return at >= 0 and len(body) >= int(head[at + 17 :].split(b"\r\n", 1)[0])


def quantile(values, share):
    ordered = sorted(values)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3, 4) if ordered else None


def main():
    port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    client = Pace(port, rate, seconds, sys.argv[4:])
    gc.disable()
    try:
        client.run()
    except OSError as error:
        client.errors[str(error)] += 1
    figures = {"count": len(client.latencies), "seconds": seconds, "errors": [f"{n} times: {text}" for text, n in client.errors.items()]}
    figures |= {name: quantile(client.latencies, share) for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1))}
    print(json.dumps(figures | {"late_p99_ms": quantile(client.late, 0.99)}))


if __name__ == "__main__":
    main()
