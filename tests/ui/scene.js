// A gateway to look at: the real binary, two versions of a service, and traffic in colors.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";

const BINARY = process.env.TYRIAN ?? "../../target/debug/tyrian";
/** Longest wait for anything that must happen. */
const PATIENCE = 20_000;

/** Waits until `done()` gives something. */
export async function until(what, done) {
  const latest = Date.now() + PATIENCE;
  for (;;) {
    const found = await done();
    if (found) return found;
    if (Date.now() > latest) throw new Error(`waited in vain for ${what}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

/** An upstream that answers after `ms`, and fails every `failing`th time (0: never). */
function upstream(ms, failing = 0) {
  let number = 0;
  const server = http.createServer((request, response) => {
    const fails = server.failing && ++number % server.failing === 0;
    setTimeout(() => response.writeHead(fails ? 503 : 200).end("hello\n"), ms * (0.6 + Math.random()));
  });
  server.failing = failing;
  return new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server)));
}

const address = (server) => `127.0.0.1:${server.address().port}`;

export const CONFIG = (v1, v2, dead, dir) => `version = 1

[listeners.web]
bind = "127.0.0.1:0"
clients = { trust = ["127.0.0.0/8"], max_connections = 2000 }

[services.shop]
default = "v1"
breaker = "standard"
retry = { attempts = 2, budget = "20%" }

[services.shop.versions.v1]
endpoints = ["${v1}", { address = "${v1.replace("127.0.0.1", "127.0.0.2")}", weight = 2 }]

[services.shop.versions.v2]
endpoints = ["${v2}"]

[services.search]
breaker = "standard"

[services.search.versions.v1]
endpoints = ["${v1}", "${dead}"]

[colors.canary]
when = [{ header = { "x-user-group" = ["beta", "staff"] } }]
versions = { shop = "v2" }
hex = "#22c55e"

[colors.next]
versions = { shop = "v2" }
share = { percent = "0%", sticky = "header:x-uid" }
hex = "#f97316"

[rollouts.next]
steps = ["1%", "5%", "25%", "50%", "100%"]
every = "90s"
guard = { max_error_rate = "5%", max_p99 = "400ms", worse_than_default = "100%", min_requests = 40 }

[breakers.standard]
window = "10s"
trip = { error_rate = "50%", min_requests = 20 }
open_for = "15s"
probes = 3

[limits.per-client]
rate = "20/s"
burst = 20
key = "header:x-client"

[jwt.users]
issuer = "https://id.example.com/"
algorithms = ["HS256"]
keys = { hmac = { env = "UI_TEST_KEY" } }

[listeners.secure]
bind = "127.0.0.1:0"
clients = { max_connections = 2000 }
tls = { certs = [{ chain = "${dir}/tls/server.pem", key = { file = "${dir}/tls/server.key" } }] }

[admin]
bind = "127.0.0.1:0"
metrics = "off"
read_token = { file = "${dir}/reader.token" }

[routes.cart]
match = { host = "api.example.com", path = "/cart/*", methods = ["GET", "POST"] }
service = "shop"

[routes.search]
match = { host = "api.example.com", path = "/search" }
service = "search"
limits = ["per-client"]

[routes.account]
match = { host = "api.example.com", path = "/account/*" }
service = "shop"
auth = "users"

[routes.mirrored]
match = { host = "api.example.com", path = "/mirrored" }
service = "shop"
mirror = { service = "shop", version = "v2", compare = { noise = "100%" } }

[routes.ping]
match = { path = "/ping" }
respond = { status = 200, text = "ok\\n" }

[[tests]]
request = "GET http://api.example.com/cart/7"
headers = { "x-user-group" = "beta" }
expect = { route = "cart", service = "shop", version = "v2" }
`;

/** The real binary with this file, once it listens: where, and how to end it. */
export async function gateway(dir, text, env = {}) {
  const file = path.join(dir, "tyrian.toml");
  writeFileSync(file, text);
  const own = { PATH: process.env.PATH, TYRIAN_LOG_FORMAT: "json", ...env };
  const child = spawn(BINARY, ["run", "-c", file, "--state", path.join(dir, "state")], { env: own, stdio: ["ignore", "ignore", "pipe"] });
  const addresses = {};
  let log = "";
  child.stderr.on("data", (bytes) => {
    log += bytes;
    for (const [, name, at] of log.matchAll(/"listener":"(\w+)","address":"([^"]+)"/g)) addresses[name] = at;
    for (const [, at, name] of log.matchAll(/"address":"([^"]+)","listener":"(\w+)"/g)) addresses[name] = at;
  });
  await until("the gateway", () => {
    if (child.exitCode !== null) throw new Error(log);
    return addresses.admin && addresses.web;
  });
  const end = async () => {
    const left = new Promise((ended) => child.once("exit", ended));
    child.kill("SIGINT");
    setTimeout(() => child.kill("SIGKILL"), 2_000).unref();
    await left;
    rmSync(dir, { recursive: true, force: true });
    if (existsSync(dir)) throw new Error("left behind");
  };
  return { addresses, end };
}

/** Runs a command of the binary to its end. */
export const tyrian = (...args) => execFileSync(BINARY, args, { stdio: "ignore" });

/** A directory of its own. */
export const directory = () => mkdtempSync(path.join(tmpdir(), "tyrian-ui-"));

export async function scene() {
  const dir = directory();
  const [v1, v2] = [await upstream(8, 50), await upstream(14, 40)];
  // Bound and closed again: nobody answers there.
  const gone = await upstream(0);
  const dead = address(gone);
  await new Promise((closed) => gone.close(closed));
  const file = path.join(dir, "tyrian.toml");
  tyrian("dev-cert", "--out", path.join(dir, "tls"), "shop.example.test", "*.shop.example.test");
  writeFileSync(path.join(dir, "reader.token"), "only-looking\n");
  const text = CONFIG(address(v1), address(v2), dead, dir);
  const { addresses, end } = await gateway(dir, text, { UI_TEST_KEY: "0123456789abcdef0123456789abcdef" });
  const token = readFileSync(path.join(dir, "state/admin.token"), "utf8").trim();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });

  const get = (target, headers = {}) => new Promise((done) => {
    const [host, port] = addresses.web.split(":");
    const request = http.get({ host, port, agent, path: target, headers: { host: "api.example.com", ...headers } }, (answer) => {
      answer.resume().on("end", () => done(answer.statusCode));
    });
    request.on("error", () => done(0));
  });

  return {
    admin: `http://${addresses.admin}`, web: addresses.web, token, reader: "only-looking", get, text,
    /** From now on the second version fails every `every`th time. */
    fail: (every) => (v2.failing = every),
    write: (text) => writeFileSync(file, text),
    api: async (method, target, body) => {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const answer = await fetch(`http://${addresses.admin}${target}`, { method, headers, body: body && JSON.stringify(body) });
      return answer.json();
    },
    /** Traffic until the returned function is called. */
    traffic: () => {
      let on = true;
      const loop = async (pause, call) => {
        while (on) {
          call();
          await new Promise((wake) => setTimeout(wake, pause * (0.5 + Math.random())));
        }
      };
      const wave = () => 6 + 4 * Math.sin(Date.now() / 9000);
      const someone = () => ({ "x-uid": String(Math.floor(Math.random() * 1e6)) });
      loop(12, () => get(`/cart/${Math.floor(Math.random() * 90)}?page=2`, someone()));
      loop(12, () => Math.random() < wave() / 12 && get("/cart/7", someone()));
      loop(34, () => get("/cart/3", { "x-user-group": "beta" }));
      loop(80, () => get("/cart/5", { "x-tyrian-color": "next" }));
      loop(35, () => get("/search?q=dye", { "x-client": "a" }));
      loop(160, () => get("/account/me"));
      loop(400, () => get("/nowhere"));
      loop(120, () => get("/ping"));
      return () => (on = false);
    },
    end: async () => {
      await end();
      [v1, v2].forEach((server) => (server.closeAllConnections(), server.close()));
      agent.destroy();
    },
  };
}
