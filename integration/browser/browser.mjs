// What both scripts share.
import { existsSync, readFileSync } from "node:fs";
import { chromium } from "playwright";

/** A Chromium: the one that CHROMIUM names, Playwright's own, or the distribution's. */
export async function launch() {
  const own = chromium.executablePath();
  const executablePath = process.env.CHROMIUM || (existsSync(own) ? own : "/usr/bin/chromium");
  const args = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];
  if (process.getuid?.() === 0) args.push("--no-sandbox");
  return chromium.launch({ executablePath, args });
}

/** `--name value` from the command line. */
export function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
}

/** The code of the newest mail to `address` in the file that a platform without a mail server writes. */
export function mailedCode(file, address) {
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
  const at = text.lastIndexOf(`To: ${address}`);
  // A code stands alone in its line.
  return at < 0 ? undefined : text.slice(at).match(/^ +([A-Z0-9]+(?:-[A-Z0-9]+)*)\s*$/m)?.[1];
}

/** Fails with `message` unless `condition`. */
export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** Presses Tab until the element that has the focus matches `selector`. */
export async function tabTo(page, selector) {
  for (let presses = 0; presses < 80; presses += 1) {
    const there = await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector);
    if (there) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`80 presses of Tab do not reach ${selector} on ${page.url()}`);
}
