// A browser that has nothing to do with anybody's own: fresh, without a network of its own.

import { chromium } from "playwright-core";

export const open = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** A page that is inside, with whatever went wrong in it. */
export async function enter(browser, scene, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.wrong = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.wrong.push(message.text()));
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  await options.prepare?.(page);
  await page.goto(scene.admin);
  await page.getByLabel("Token").fill(scene.token);
  await page.getByRole("button", { name: "Enter" }).click();
  await page.getByTestId("rps").waitFor();
  return page;
}
