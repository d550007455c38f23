// What a new person does, against a real platform; see README.md.
import { execFile } from "node:child_process";
import { check, launch, mailedCode } from "./browser.mjs";

const env = (name) => {
  check(process.env[name], `${name} is not set; see README.md`);
  return process.env[name];
};
const [PORTAL, MAIL_FILE, MICRO, GIT_URL, HOME] = ["PORTAL_URL", "MAIL_FILE", "MICRO", "GIT_URL", "HOME_DIR"].map(env);
const EMAIL = process.env.EMAIL ?? `jane-${Date.now()}@example.com`;
const PASSWORD = "correct horse battery staple";
/** A build from nothing takes minutes on a small machine. */
const BUILD_MS = Number(process.env.BUILD_MS ?? 600_000);

const step = (text) => console.log(`- ${text}`);

/** Runs `micro`; gives its exit code and everything that it printed. */
function micro(...args) {
  const options = { env: { PATH: process.env.PATH, HOME }, timeout: BUILD_MS };
  return new Promise((resolve) => {
    execFile(MICRO, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? 1) : 0, text: stdout + stderr });
    });
  });
}

/** Waits until `find` gives something. */
async function until(what, find, ms = 30_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await find();
    if (found) return found;
    check(Date.now() < end, `${what}: not within ${ms / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
const failures = [];
page.on("pageerror", (error) => failures.push(`script: ${error.message}`));
page.on("console", (message) => {
  if (message.type() === "error") failures.push(`console: ${message.text()}`);
});

try {
  step(`sign up as ${EMAIL}`);
  await page.goto(`${PORTAL}/signup`);
  await page.fill("#email", EMAIL);
  await page.click("main button.primary");
  await page.waitForSelector("#code");
  const code = await until("the mail", () => mailedCode(MAIL_FILE, EMAIL));
  await page.fill("#code", code);
  await page.fill("#password", PASSWORD);
  await page.click("main button.primary");
  await page.waitForURL("**/n/**");
  const namespace = new URL(page.url()).pathname.split("/")[2];
  step(`signed in, namespace ${namespace}`);

  await page.goto(`${PORTAL}/settings`);
  await page.fill("#description", "Browser test");
  await page.click("form[action='/settings/token'] button");
  const lines = await page.locator(".made .line code").allTextContents();
  const login = lines.find((line) => line.startsWith("micro login --platform --token=micro_"));
  check(login, `no login line among ${lines.join(" | ")}`);
  for (const line of [...lines.filter((text) => text.startsWith("micro env add ")), login]) {
    const words = line.split(" ").slice(1);
    const told = await micro(...words);
    check(told.code === 0, `${line.replace(/=.*/, "=…")} ended with ${told.code}: ${told.text}`);
  }
  step("the command line is logged in by the copied lines");

  step(`micro run --platform ${GIT_URL}`);
  const run = micro("run", "--platform", GIT_URL);
  await page.goto(`${PORTAL}/n/${namespace}/services`);
  const row = await until("the service's row", async () => {
    await page.reload();
    return page.locator("tbody a.name").first().textContent({ timeout: 1_000 }).catch(() => null);
  });
  step(`the list shows ${row}`);
  await page.goto(`${PORTAL}/n/${namespace}/services/${row}/deployments`);
  await page.click("tbody a.name");
  await page.waitForSelector(".stages");
  await page.waitForFunction(() => /running|error/.test(document.querySelector(".now .status")?.textContent ?? ""), null, { timeout: BUILD_MS });
  const state = await page.textContent(".now .status");
  const log = await page.locator(".log li").count();
  check(/running/.test(state), `the deployment ended as ${state}: ${await page.locator(".failure pre").textContent().catch(() => "")}`);
  check(log > 0, "the build has no log");
  const ran = await run;
  check(ran.code === 0, `micro run ended with ${ran.code}: ${ran.text}`);
  step(`watched the build: ${log} lines`);

  await page.goto(`${PORTAL}/n/${namespace}/services/${row}`);
  const form = page.locator("[data-call]").first();
  const name = form.locator("[name='f.name']");
  await name.fill("Jane of the browser");
  await form.locator("button.primary").click();
  await page.waitForSelector(".reply");
  const reply = await page.textContent(".reply");
  check(/200/.test(reply) && reply.includes("Jane of the browser"), `the reply is ${reply}`);
  step("called it from the form");

  await page.goto(`${PORTAL}/n/${namespace}/services/${row}/logs`);
  await page.waitForSelector("[data-state=live]");
  await until("a line of the log", () => page.locator(".log li").count());
  step("read its log");

  await page.goto(`${PORTAL}/settings/keys`);
  await page.locator("tr", { hasText: "Browser test" }).locator("button").click();
  await page.waitForSelector(".notice.good");
  check((await page.locator("tr", { hasText: "Browser test" }).count()) === 0, "the key is still in the list");
  const refused = await until("the refusal", async () => {
    const told = await micro("status", "--platform");
    return told.code !== 0 && told;
  }, 2_000);
  check(/401|not logged in|must be logged in|account is required|revoked/i.test(refused.text), `micro status said ${refused.text}`);
  step(`revoked the token: ${refused.text.trim().split("\n").pop()}`);
  check(failures.length === 0, failures.join("\n"));
} catch (error) {
  console.error(error.message);
  await page.screenshot({ path: "flow-failed.png", fullPage: true }).catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}
