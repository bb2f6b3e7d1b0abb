#!/usr/bin/env python3
"""Processes of a load test: ports, files, pinned proxies, and what the kernel charges to them."""
import atexit, contextlib, os, re, signal, socket, subprocess, sys, time

TICK = os.sysconf("SC_CLK_TCK")
PROXY_CORE, OTHER_CORE = 0, 1  # the measured proxy; clients and upstreams


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def version(command):
    """The first line that the command prints, if it can be run."""
    out = subprocess.run(command, capture_output=True, text=True)
    return ((out.stdout + out.stderr).strip().splitlines() or ["unknown"])[0]


def on(core, command):
    """The command, pinned to a core."""
    return ["taskset", "-c", str(core), *command]


def wait_for(port, process):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}: {' '.join(process.args)}")


class Proxy:
    """A running proxy (or upstream), pinned to a core, ended with the run."""

    def __init__(self, name, core, command, port, version):
        self.name, self.port, self.version = name, port, version
        self.process = subprocess.Popen(on(core, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.stop)  # also when a run fails half way
        wait_for(port, self.process)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def tree(pid):
    """The process and all its children."""
    pids, new = [pid], [pid]
    while new:
        found = []
        for parent in new:
            try:
                with open(f"/proc/{parent}/task/{parent}/children") as f:
                    found += [int(p) for p in f.read().split()]
            except OSError:
                pass
        pids, new = pids + found, found
    return pids


def cpu(pid):
    """Seconds of user and of system time that the process and its children have taken."""
    user = system = 0
    for p in tree(pid):
        with contextlib.suppress(OSError), open(f"/proc/{p}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
    return user / TICK, system / TICK


def cpu_seconds(pid):
    return sum(cpu(pid))


def status_mib(pid, field):
    """The sum of a field of /proc/PID/status over the process and its children, in MiB."""
    total = 0
    for p in tree(pid):
        with contextlib.suppress(OSError, AttributeError), open(f"/proc/{p}/status") as f:
            total += int(re.search(rf"{field}:\s+(\d+)", f.read()).group(1))
    return round(total / 1024, 1)


def resident_mib(pid):
    return status_mib(pid, "VmRSS")


def forget_peak(pid):
    """Sets the kernel's high-water mark of resident memory back to what is resident now."""
    for p in tree(pid):
        with contextlib.suppress(OSError), open(f"/proc/{p}/clear_refs", "w") as f:
            f.write("5")


def peak_mib(pid):
    return status_mib(pid, "VmHWM")


def load_average():
    return os.getloadavg()[0]
