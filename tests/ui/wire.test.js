// What a browser does over TLS and HTTP/2, through the real binary.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import http from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import { open } from "./browser.js";
import { directory, gateway, tyrian } from "./scene.js";

/** A page, an echo, a stream of events, and a WebSocket that says a message back. */
function upstream() {
  const server = http.createServer((request, response) => {
    if (request.url === "/echo") return request.pipe(response.writeHead(200, { "x-method": request.method }));
    if (request.url === "/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      let number = 0;
      const timer = setInterval(() => response.write(`data: ${++number}\n\n`), 20);
      return request.socket.on("close", () => clearInterval(timer));
    }
    response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>page</title>");
  });
  server.on("upgrade", (request, socket) => {
    const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on("data", (frame) => {
      const length = frame[1] & 0x7f;
      const text = frame.subarray(6, 6 + length).map((byte, at) => byte ^ frame[2 + (at % 4)]);
      socket.write(Buffer.concat([Buffer.from([frame[0], length]), text]));
    });
    socket.on("error", () => {});
  });
  return new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server)));
}

let [server, edge, browser, page] = [];
before(async () => {
  const dir = directory();
  server = await upstream();
  tyrian("dev-cert", "--out", path.join(dir, "tls"));
  edge = await gateway(dir, `
[listeners.web]
bind = "127.0.0.1:0"
tls = { certs = [{ chain = "${dir}/tls/server.pem", key = { file = "${dir}/tls/server.key" } }] }
[admin]
bind = "127.0.0.1:0"
[services.site.versions.v1]
endpoints = ["127.0.0.1:${server.address().port}"]
[routes.all]
match = { path = "/*" }
service = "site"
`);
  browser = await open();
  page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await page.goto(`https://${edge.addresses.web}/`);
});
after(async () => {
  await browser?.close();
  await edge?.end();
  server?.closeAllConnections();
  server?.close();
});

test("fetch speaks HTTP/2 and gets back what it sends", async () => {
  const found = await page.evaluate(async () => {
    const body = new Uint8Array(1 << 20).map((_, at) => at % 251);
    const many = Array.from({ length: 64 }, async (_, number) => {
      const answer = await fetch("/echo", { method: "POST", body: `number ${number}` });
      return (await answer.text()) === `number ${number}`;
    });
    const answer = await fetch("/echo", { method: "PUT", body });
    const back = new Uint8Array(await answer.arrayBuffer());
    const timing = performance.getEntriesByType("resource").find((entry) => entry.name.endsWith("/echo"));
    return {
      method: answer.headers.get("x-method"),
      same: back.length === body.length && back.every((byte, at) => byte === body[at]),
      many: (await Promise.all(many)).every(Boolean),
      protocol: timing.nextHopProtocol,
    };
  });
  assert.deepEqual(found, { method: "PUT", same: true, many: true, protocol: "h2" });
});

test("events arrive one by one, and a reader may leave", async () => {
  const events = await page.evaluate(() => new Promise((done) => {
    const [source, seen] = [new EventSource("/events"), []];
    source.onmessage = ({ data }) => seen.push(data) === 3 && (source.close(), done(seen));
  }));
  assert.deepEqual(events, ["1", "2", "3"]);
  const aborted = await page.evaluate(async () => {
    const stop = new AbortController();
    const answer = await fetch("/events", { signal: stop.signal });
    await answer.body.getReader().read();
    stop.abort();
    return (await fetch("/echo", { method: "POST", body: "still here" })).text();
  });
  assert.equal(aborted, "still here");
});

test("a WebSocket opens beside HTTP/2", async () => {
  const said = await page.evaluate(() => new Promise((done, fail) => {
    const socket = new WebSocket(location.origin.replace("https", "wss") + "/socket");
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => done(data);
    socket.onerror = fail;
  }));
  assert.equal(said, "hello");
});
