// Pictures and axe's verdict of every page; see README.md.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { check, launch, mailedCode, option, tabTo } from "./browser.mjs";

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const VIEWS = [
  { width: 1280, scheme: "light" },
  { width: 1280, scheme: "dark" },
  { width: 360, scheme: "light" },
  { width: 360, scheme: "dark" },
];
const NS = option("namespace", "quiet-amber-river");

/** Somebody without a session: name, path, what to do there. */
const OUTSIDE = [
  ["login", "/login"],
  ["login-error", "/login", async (page) => {
    await page.fill("#id", "jane@example.com");
    await page.fill("#password", "wrong password");
    await page.click("main button.primary");
    await page.waitForSelector("[role=alert]");
  }],
  ["signup", "/signup"],
  ["signup-error", "/signup", async (page) => {
    await page.fill("#email", "not an address");
    await page.evaluate(() => (document.querySelector("main form").noValidate = true));
    await page.click("main button.primary");
    await page.waitForSelector(".problem");
  }],
  ["signup-code", "/signup", async (page) => {
    await page.fill("#email", "new@example.com");
    await page.click("main button.primary");
    await page.waitForSelector("#code");
  }],
  ["reset", "/reset"],
  ["reset-code", "/reset?step=code"],
  ["invitation-new", "/invitation/good"],
  ["not-found", "/no-such-page"],
];

const SIGNED_IN = [
  ["home", `/n/${NS}`],
  ["switcher", `/n/${NS}`, (page) => page.click("details.switcher summary")],
  ["services", `/n/${NS}/services`],
  ["services-none", `/n/${NS}/services?q=nothing-like-it`],
  ["new", `/n/${NS}/new`],
  ["new-error", `/n/${NS}/new`, async (page) => {
    await page.fill("#url", "ftp://example.com/x");
    await page.click("main button.primary");
    await page.waitForSelector(".problem");
  }],
  ["endpoints", `/n/${NS}/services/helloworld`],
  ["call", `/n/${NS}/services/helloworld`, async (page) => {
    await page.click("[data-call] button.primary");
    await page.waitForSelector(".reply");
  }],
  ["call-error", `/n/${NS}/services/helloworld`, async (page) => {
    await page.fill("[name='f.items']", "[not json");
    await page.click("[data-call]:has([name='f.items']) button.primary");
    await page.waitForSelector("[aria-invalid=true]");
  }],
  ["logs", `/n/${NS}/services/helloworld/logs`, (page) => page.waitForSelector("[data-state=live]")],
  ["stats", `/n/${NS}/services/helloworld/stats`],
  ["instances", `/n/${NS}/services/helloworld/instances`],
  ["deployments", `/n/${NS}/services/invoices/deployments`],
  ["kill", `/n/${NS}/services/helloworld/deployments`, (page) => page.click("details.danger summary")],
  ["deployment-failed", `/n/${NS}/deployments/d-invoices-latest-error`],
  ["deployment-running", `/n/${NS}/deployments/d-helloworld-latest-running`],
  ["deployment-live", `/n/${NS}/deployments/d-helloworld-v2-beta-building`, (page) => page.waitForSelector("[data-state=done]")],
  ["usage", `/n/${NS}/usage`],
  ["members", `/n/${NS}/members`],
  ["member-remove", `/n/${NS}/members`, (page) => page.click("details.danger summary")],
  ["invited", `/n/${NS}/members`, async (page) => {
    await page.fill("#email", "olga@example.com");
    await page.click("form[action$=invitations] button");
    await page.waitForSelector(".notice.good");
  }],
  ["access", `/n/${NS}/access`],
  ["access-error", `/n/${NS}/access`, async (page) => {
    await page.fill("#id", "public-greeter");
    await page.fill("#resource", "greeter");
    await page.click("form[action$=rules] button");
    await page.waitForSelector(".problem");
  }],
  ["account-made", `/n/${NS}/access`, async (page) => {
    await page.fill("#account", "billing-job");
    await page.click("form[action$=accounts] button");
    await page.waitForSelector(".made");
  }],
  ["audit", `/n/${NS}/audit`],
  ["projects", "/projects"],
  ["project-error", "/projects", async (page) => {
    await page.fill("#name", "Shop");
    await page.click("form[action='/projects'] button");
    await page.waitForSelector(".problem, [role=alert]");
  }],
  ["settings", "/settings"],
  ["token", "/settings", async (page) => {
    await page.click("form[action='/settings/token'] button");
    await page.waitForSelector(".made");
  }],
  ["keys", "/settings/keys"],
  ["key-made", "/settings/keys", async (page) => {
    await page.fill("#description", "CI of the shop");
    await page.click("form[action='/settings/keys'] button");
    await page.waitForSelector(".made");
  }],
  ["sessions", "/settings/sessions"],
  ["profile", "/settings/profile"],
  ["totp", "/settings/profile", async (page) => {
    await page.click("form[action='/settings/totp'] button");
    await page.waitForSelector(".qr");
  }],
  ["email-codes", "/settings/profile", async (page) => {
    await page.fill("#email", "jane@new.example.com");
    await page.click("form[action='/settings/email'] button");
    await page.waitForSelector("#old_code");
  }],
  ["delete-account", "/settings/profile", (page) => page.click("details.danger summary")],
  ["device", "/device?code=ABCD-EFGH"],
  ["invitation", "/invitation/good"],
  ["operator", "/operator"],
  ["operator-change", "/operator", (page) => page.click("td details.more summary")],
  ["operator-people", "/operator/people"],
  ["operator-plans", "/operator/plans"],
  ["operator-audit", "/operator/audit"],
];

const out = option("out", "shots");
const only = option("only", "");
const problems = [];
mkdirSync(out, { recursive: true });

/** A page; a busy machine does not always give one at the first try. */
async function newPage(context) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await context.newPage();
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

async function visit(context, base, label, view, [name, path, act]) {
  const page = await newPage(context);
  const full = `${label}-${name}-${view.width}-${view.scheme}`;
  page.on("console", (message) => {
    // A page that says "not found" or "failed" has such a status, and the browser notes it.
    if (message.type() === "error" && !/status of (404|503|403)/.test(message.text())) problems.push(`${full}: console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`${full}: script: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(base)) problems.push(`${full}: asks ${request.url()}`);
  });
  try {
    await page.goto(base + path, { waitUntil: "load" });
    // Where there is nothing to act upon (an empty account, a failing platform) the page itself is the picture.
    if (act) await act(page).catch((error) => { if (label === "full") throw error; });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) problems.push(`${full}: ${wide} pixels wider than the window`);
    // From the top, so that what sticks to the window stands where it begins.
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(out, `${full}.png`), fullPage: true });
    const result = await new AxeBuilder({ page }).withTags(RULES).analyze();
    for (const violation of result.violations) {
      const where = violation.nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.failureSummary.split("\n")[1] ?? ""}`);
      problems.push(`${full}: ${violation.id}: ${where.join(" | ")}`);
    }
  } catch (error) {
    problems.push(`${full}: ${error.message.split("\n")[0]}`);
  } finally {
    await page.close();
  }
}

async function shoot(base, session, label) {
  let count = 0;
  for (const view of VIEWS) {
    // A browser for each view: one that has shown hundreds of pages opens no more.
    const browser = await launch();
    for (const [pages, signedIn] of [[OUTSIDE, false], [SIGNED_IN, true]]) {
      const context = await browser.newContext({ viewport: { width: view.width, height: 800 }, colorScheme: view.scheme });
      context.setDefaultTimeout(label === "full" ? 10_000 : 1_000);
      if (signedIn) await context.addCookies([{ name: "micro-session", value: session, url: base }]);
      for (const entry of pages.filter(([name]) => name.includes(only))) {
        await visit(context, base, label, view, entry);
        count += 1;
      }
      await context.close();
    }
    await browser.close();
  }
  console.log(`${label}: ${count} pictures`);
}

/** From sign-up to the token without a pointer. */
async function keyboard(base, mailFile) {
  const browser = await launch();
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const type = async (selector, text) => {
    await tabTo(page, selector);
    await page.keyboard.type(text);
  };
  await page.goto(`${base}/login`);
  await tabTo(page, "a[href='/signup']");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/signup");
  await type("#email", "keys@example.com");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#code");
  await type("#code", mailedCode(mailFile, "keys@example.com"));
  await type("#password", "typed without a mouse");
  await tabTo(page, "main button.primary");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".notice.good");
  await tabTo(page, ".rail a[href='/settings']");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/settings");
  await type("#description", "By keyboard");
  await tabTo(page, "form[action='/settings/token'] button");
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  check(ring !== "none", "the focus is not visible");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".made");
  const line = await page.textContent(".big code");
  check(/^micro login --platform --token=micro_/.test(line), `the token's page says ${line}`);
  await browser.close();
  console.log("keyboard: from sign-up to the token");
}

/** Starts the preview and gives its address and a session. */
async function preview(binary, mode, mailFile) {
  const child = spawn(binary, ["--mode", mode, "--mail-file", mailFile], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  const ready = new Promise((resolve, reject) => {
    child.on("exit", (code) => reject(new Error(`the preview ended with ${code}`)));
    child.stdout.on("data", (chunk) => {
      text += chunk;
      const [, base] = text.match(/portal (\S+)\n/) ?? [];
      const [, session] = text.match(/session (\S+)\n/) ?? [];
      if (base && session) resolve({ base, session, stop: () => child.kill() });
    });
  });
  return ready;
}

if (option("base")) {
  await shoot(option("base"), option("session", "none"), option("label", "live"));
} else {
  const mailFile = join(mkdtempSync(join(tmpdir(), "mail-")), "mail.txt");
  for (const mode of option("modes", "full,empty,error").split(",")) {
    const running = await preview(option("preview", "../../target/debug/examples/preview"), mode, mailFile);
    await shoot(running.base, running.session, mode);
    if (mode === "empty") await keyboard(running.base, mailFile);
    running.stop();
  }
}
for (const problem of new Set(problems)) console.error(problem);
console.log(problems.length ? `${problems.length} problems` : "no problems");
process.exitCode = problems.length ? 1 : 0;
