// The dashboard in a real browser, against the real binary.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { enter, open } from "./browser.js";
import { scene as start, until } from "./scene.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PAGES = ["now", "routes", "services", "colors", "limits", "tap", "config"];
/** Where screenshots go; unset: nowhere. */
const SHOTS = process.env.SCREENSHOTS;

let [scene, browser] = [];
before(async () => ([scene, browser] = [await start(), await open()]));
after(async () => {
  await browser?.close();
  await scene?.end();
});

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
  await until("silence", async () => (await number(page, "rps")) === 0);
  assert.deepEqual(page.wrong, []);
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
  page.on("dialog", (dialog) => dialog.accept());
  await page.getByTestId("apply").click();
  await page.getByText("is live.").waitFor();
  await page.getByRole("button", { name: "Generation 1" }).click();
  await page.getByRole("button", { name: "Roll back to this" }).click();
  await until("the first text", async () => (await scene.api("GET", "/v1/status")).config.rolled_back_to === 1);
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

for (const [mode, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["small", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
]) {
  test(`every page is sound for all eyes, ${mode}`, async () => {
    const stop = scene.traffic();
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
      if (SHOTS) {
        mkdirSync(SHOTS, { recursive: true });
        const height = mode === "small" ? 844 : 860;
        await page.screenshot({ path: `${SHOTS}/${name}-${mode}.png`, clip: { x: 0, y: 0, width: page.viewportSize().width, height } });
      }
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
