// The dashboard in a real browser, against the real binary.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { enter, open } from "./browser.js";
import { scene as start, until } from "./scene.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PAGES = ["now", "routes", "services", "colors", "rollouts", "limits", "listeners", "tap", "config", "audit"];
/** Where screenshots go; unset: nowhere. */
const SHOTS = process.env.SCREENSHOTS;

let [scene, browser] = [];
before(async () => ([scene, browser] = [await start(), await open()]));
after(async () => {
  await browser?.close();
  await scene?.end();
});

/** A picture of what is in view, and one of the whole page. */
async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(`${SHOTS}/whole`, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
  await page.screenshot({ path: `${SHOTS}/whole/${name}.png`, fullPage: true });
}

const number = async (page, id) => Number((await page.getByTestId(id).textContent()).replace(/[^\d.]/g, ""));
const to = async (page, name) => {
  await page.getByRole("navigation").getByRole("link", { name: new RegExp(`^${name}`, "i") }).click();
  await page.getByRole("heading", { level: 1 }).waitFor();
};

test("nobody looks inside without the token", async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(scene.admin);
  await page.getByLabel("Token").fill("guessed");
  await page.getByRole("button", { name: "Enter" }).click();
  await page.getByText("The token is not accepted").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.context().close();
});

test("values move when traffic flows, each color in its own hue", async () => {
  const page = await enter(browser, scene);
  assert.equal(await number(page, "rps"), 0);
  const stop = scene.traffic();
  await until("a rate", async () => (await number(page, "rps")) > 20);
  await until("a color", async () => (await page.getByTestId("rps-canary").count()) && (await number(page, "rps-canary")) > 5);
  const row = page.getByTestId("rows").getByRole("row").filter({ hasText: "canary" });
  const hue = await row.locator(".dot").evaluate((dot) => getComputedStyle(dot).backgroundColor);
  assert.equal(hue, "rgb(34, 197, 94)");
  // What Prometheus would be asked stays open while the numbers above it move.
  await page.getByText("Show PromQL").first().click();
  const before = await number(page, "rps");
  await until("another rate", async () => (await number(page, "rps")) !== before);
  const query = page.locator(".promql code").first();
  assert.ok(await query.isVisible());
  assert.match(await query.textContent(), /tyrian_requests_total/);
  stop();
  await until("silence", async () => (await number(page, "rps-now")) === 0);
  // The last minute goes on, and no layer draws a line where it has nothing.
  assert.ok((await number(page, "rps")) > 0);
  const ends = () => page.locator(".plot").first().locator("path[fill=none]").evaluateAll((all) => all.map((path) => Number(/L([\d.]+) [\d.]+$/.exec(path.getAttribute("d"))[1])));
  await until("lines that end", async () => (await ends()).every((x) => x < 999));
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("latency has an axis by powers of ten", async () => {
  const page = await enter(browser, scene);
  const card = page.locator("section").filter({ has: page.getByRole("heading", { name: "Latency", exact: true }) });
  const ticks = async () => (await card.locator(".axis span").allTextContents()).slice(-5);
  assert.deepEqual(await ticks(), ["1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
  const places = await card.locator(".axis span").evaluateAll((all) => all.map((tick) => parseFloat(tick.style.top)));
  const gaps = places.slice(1).map((place, at) => Math.round(places[at] - place));
  assert.equal(new Set(gaps).size, 1, `evenly: ${places}`);
  await page.context().close();
});

/** The answer of the API with something else in it. */
const instead = (page, target, change) => page.route(`**${target}`, async (route) => {
  const answer = await route.fetch();
  const body = await answer.json();
  change(body);
  await route.fulfill({ response: answer, json: body });
});

test("an endpoint that is out says since when and why", async () => {
  const page = await enter(browser, scene);
  await to(page, "Services");
  const why = page.getByTestId("service-search").getByTestId("why");
  await until("a refused connection", async () => (await scene.get("/search", { "x-client": "why" }), await why.count()));
  assert.match(await why.textContent(), /^unreachable: connection refused, since [\d:]+ \((just now|\d min ago)\)$/);
  await instead(page, "/v1/services", ({ services }) => {
    const [first] = services.find((service) => service.name === "shop").versions[0].endpoints;
    const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
    Object.assign(first, { ejected: true, healthy: false, ejected_cause: "HTTP status 503", ejected_since: at(-190), ejected_until: at(60) });
  });
  const shop = page.getByTestId("service-shop").getByTestId("why").filter({ hasText: "ejected" });
  await shop.waitFor();
  assert.match(await shop.textContent(), /^ejected: HTTP status 503, since [\d:]+ \(3 min ago\), until [\d:]+$/);
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("listeners and their certificates are shown, and what ends soon is named first", async () => {
  const page = await enter(browser, scene);
  await to(page, "Listeners");
  const web = page.getByTestId("listener-web");
  await web.getByText(scene.web).filter({ visible: true }).waitFor();
  assert.match(await web.textContent(), /h1h2c.*127\.0\.0\.0\/8/);
  const certificate = page.getByTestId("certificate");
  assert.match(await certificate.textContent(), /shop\.example\.test.*listener secure.*Tyrian development CA.*expires in 36\d days.*valid/);
  assert.equal(await page.getByRole("status").filter({ hasText: "expires" }).count(), 0);
  await instead(page, "/v1/certificates", ({ certificates }) => {
    Object.assign(certificates[0], { state: "expiring", not_after: new Date(Date.now() + 5.5 * 86_400_000).toISOString() });
  });
  await page.getByText("shop.example.test: expires in 5 days (listener secure)").waitFor();
  await certificate.getByText("expiring", { exact: true }).waitFor();
  await page.context().close();
});

test("explain says what traffic meets", async () => {
  const page = await enter(browser, scene);
  await to(page, "Routes");
  await page.getByTestId("explain-request").fill(`curl 'http://api.example.com/cart/7' -H 'x-user-group: beta'`);
  await page.getByTestId("explain").click();
  const told = await page.getByTestId("explained").textContent();
  assert.match(told, /canary/);
  assert.match(told, /shop v2/);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const copied = async () => {
    await page.getByRole("button", { name: "Copy as test" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  assert.match(await copied(), /^\[\[tests\]\]\nrequest = "GET .*"\nheaders = .*\nexpect = \{ route = .*, service = "shop", version = "v2", color = "canary" \}\n$/);
  const watch = await enter(browser, scene);
  await to(watch, "Tap");
  await watch.getByTestId("tap-start").click();
  await watch.getByText("watching", { exact: true }).waitFor();
  await until("the request", async () => {
    await scene.get("/cart/7", { "x-user-group": "beta" });
    return (await watch.getByTestId("tapped").count()) && /shop v2/.test(await watch.getByTestId("tapped").textContent());
  });
  await page.getByTestId("explain-request").fill("GET http://other.example/");
  await page.getByTestId("explain").click();
  await page.getByTestId("explained").getByText("no_route").waitFor();
  assert.match(await copied(), /expect = \{ status = 404, reason = "no_route" \}/);
  assert.deepEqual([...page.wrong, ...watch.wrong], []);
  await Promise.all([page.context().close(), watch.context().close()]);
});

test("a breaker is held open, traffic meets it, and it is let go", async () => {
  const page = await enter(browser, scene);
  await to(page, "Services");
  const card = page.getByTestId("service-search");
  await card.getByRole("button", { name: "Open", exact: true }).click();
  await card.getByText("Held by hand").waitFor();
  assert.equal(await scene.get("/search", { "x-client": "ui" }), 503);
  await card.getByRole("button", { name: "Close", exact: true }).click();
  await card.getByText("Breaker closed").waitFor();
  await card.getByRole("button", { name: "Let it decide" }).click();
  const endpoint = page.getByTestId("service-shop").getByRole("button", { name: /^Drain/ }).first();
  await endpoint.click();
  await page.getByTestId("service-shop").getByRole("button", { name: /^Undrain/ }).click();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("what was done by hand stands in the audit, and who was not let in", async () => {
  const page = await enter(browser, scene);
  await to(page, "Audit");
  const calls = page.getByTestId("audit");
  await calls.getByText("breaker of search/v1: open").waitFor();
  await calls.getByText("no valid token", { exact: true }).first().waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("a mirror shows how its answers differ", async () => {
  const page = await enter(browser, scene);
  await to(page, "Services");
  const card = page.getByTestId("mirror-mirrored");
  await card.getByText("0 compared").waitFor();
  for (let n = 0; n < 4; n++) await scene.get("/mirrored");
  await card.getByText("4 compared, 4 asked twice").waitFor();
  await card.getByRole("row").filter({ hasText: "body" }).waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("a broken configuration shows its caret, a sound one what it changes", async () => {
  const page = await enter(browser, scene);
  await to(page, "Config");
  const editor = page.getByTestId("editor");
  await until("the text", async () => (await editor.inputValue()).includes("[routes.cart]"));
  const text = await editor.inputValue();
  await editor.fill(text.replace('service = "search"', 'service = "serch"'));
  await page.getByTestId("check").click();
  assert.equal((await page.getByTestId("caret").first().textContent()).trimEnd(), `${" ".repeat(10)}^^^^^^^ no service of this name`);
  await page.getByText("did you mean `search`?").waitFor();
  await editor.fill(text.replace('open_for = "15s"', 'open_for = "20s"'));
  await page.getByTestId("check").click();
  await page.getByText("breakers.standard.open_for").waitFor();
  await page.getByTestId("apply").click();
  await page.getByTestId("confirm").click();
  await page.getByText("is live.").waitFor();
  await page.getByRole("button", { name: "Generation 1" }).click();
  await page.getByRole("button", { name: "Roll back to this" }).click();
  await page.getByTestId("confirm").click();
  // The first text is the file's: what was applied is gone, and there is no drift.
  await until("the first text", async () => {
    const { applied, rolled_back_to } = (await scene.api("GET", "/v1/status")).config;
    return !applied && rolled_back_to === null;
  });
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("a file that is refused is told everywhere", async () => {
  const page = await enter(browser, scene);
  scene.write("[routes.a]\n");
  await page.getByText("The last configuration was refused.").waitFor();
  await page.getByRole("link", { name: "See why" }).click();
  await page.getByText("TY0205").first().waitFor();
  scene.write(scene.text);
  await until("a sound file", async () => !(await scene.api("GET", "/v1/status")).config.rejected);
  await page.context().close();
});

test("a rollout is led by hand, and an abort from everything leaves its mark", async () => {
  const page = await enter(browser, scene);
  await to(page, "Rollouts");
  const card = page.getByTestId("rollout-next");
  const phase = (word) => card.getByTestId("phase").filter({ hasText: new RegExp(`^${word}$`) }).waitFor();
  const say = async (verb) => {
    await card.getByRole("button", { name: verb }).click();
    await page.getByTestId("confirm").click();
  };
  await phase("not started");
  assert.ok(await card.getByRole("button", { name: "Promote" }).isDisabled());
  await say("Start");
  await phase("running");
  await card.getByRole("button", { name: "Abort" }).click();
  await page.getByRole("dialog").getByText("The share goes from 1% to 0% at once").waitFor();
  await shot(page, "rollouts-question");
  await page.getByRole("button", { name: "Cancel" }).click();
  await say("Pause");
  await phase("paused");
  await say("Resume");
  await phase("running");
  for (const share of ["5%", "25%", "50%", "100%"]) {
    await say("Promote");
    await until(share, async () => (await card.getByTestId("share").textContent()) === share);
  }
  assert.match(await card.locator("[aria-current=step]").textContent(), /100%now/);
  scene.fail(1);
  const stop = scene.traffic();
  await phase("aborted");
  scene.fail(40);
  stop();
  const verdict = await card.getByTestId("verdict").textContent();
  assert.match(verdict, /Aborted, 100% to 0%.*requests failed \(\d+ of \d+\)/);
  await card.getByTestId("guard-errors").getByText("breach").waitFor();
  assert.equal(await card.getByText("taken back").count(), 5);
  await shot(page, "rollouts-aborted");
  await to(page, "Now");
  await page.getByText("Rollout next aborted, 100% to 0%.").waitFor();
  const mark = page.locator(".flag.bad[title*=rollout]").first();
  assert.match(await mark.getAttribute("title"), /rollout next aborted, 100% to 0% \(.*failed/);
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("a token that may only look finds the buttons off, and is told why", async () => {
  const page = await enter(browser, { ...scene, token: scene.reader });
  for (const [name, button] of [["Rollouts", "Start again"], ["Services", /^Drain/], ["Config", "Reload from file"]]) {
    await to(page, name);
    await page.getByText("This token may look, but change nothing.").waitFor();
    const found = page.getByRole("button", { name: button }).first();
    await found.waitFor();
    assert.ok(await found.isDisabled(), name);
    assert.equal(await found.getAttribute("aria-describedby"), "only-looking");
  }
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

/** A rollout to look at. */
async function underWay() {
  const { rollout } = await scene.api("GET", "/v1/rollouts/next");
  if (rollout.phase === "running") return;
  const breaker = (state) => scene.api("PUT", "/v1/services/shop/v2/breaker", { state });
  // What the version that failed has left behind.
  await breaker("closed");
  await breaker("half-open");
  await until("a breaker that has closed", async () => {
    const { services } = await scene.api("GET", "/v1/services");
    const { versions } = services.find((service) => service.name === "shop");
    return versions.find((version) => version.name === "v2").breaker.state === "closed";
  });
  for (const action of ["start", "promote", "promote"]) await scene.api("POST", "/v1/rollouts/next", { action });
}

for (const [mode, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["small", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
]) {
  test(`every page is sound for all eyes, ${mode}`, async () => {
    const stop = scene.traffic();
    await underWay();
    const page = await enter(browser, scene, options);
    for (const name of PAGES) {
      await to(page, name);
      if (name === "routes") {
        await page.getByTestId("explain-request").fill("GET http://api.example.com/cart/7 -H 'x-user-group: beta'");
        await page.getByTestId("explain").click();
        await page.getByTestId("explained").waitFor();
      }
      if (name === "tap") {
        await page.getByTestId("tap-start").click();
        await page.getByTestId("tapped").waitFor();
        await page.getByTestId("tap-stop").click();
      }
      await page.waitForTimeout(SHOTS && name === "now" ? 20_000 : 1_200);
      const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(width <= 0, `${name} is ${width} px too wide`);
      await shot(page, `${name}-${mode}`);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"] }));
      const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join("; ")}`);
      assert.deepEqual(found, [], name);
    }
    stop();
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });
}

test("the keyboard reaches everything", async () => {
  const page = await enter(browser, scene);
  await page.reload();
  await page.getByTestId("rps").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  for (let presses = 0; presses < 8; presses++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.notEqual(await page.evaluate(() => document.activeElement.tagName), "BODY");
  await page.context().close();
});
