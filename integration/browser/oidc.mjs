// Logging in with an account elsewhere, against a real platform and a real provider; see README.md.
import { check, launch, mailedCode } from "./browser.mjs";

const env = (name) => {
  check(process.env[name], `${name} is not set; see README.md`);
  return process.env[name];
};
const [PORTAL, ISSUER, MAIL_FILE] = ["PORTAL_URL", "OIDC_ISSUER", "MAIL_FILE"].map(env);
const PASSWORD = "correct horse battery staple";

const step = (text) => console.log(`- ${text}`);
const failures = [];
const browser = await launch();

/** A browser of somebody's own. */
async function somebody() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  page.on("pageerror", (error) => failures.push(`script: ${error.message}`));
  page.on("console", (message) => {
    // What the provider's own pages lack is not ours.
    const ours = message.location().url.startsWith(PORTAL) || /Content Security Policy/.test(message.text());
    if (message.type() === "error" && ours) failures.push(`console: ${message.text()}`);
  });
  return page;
}

/** From the login page to the provider, and there in as `email`, unless it knows the browser already. */
async function through(page, email, from = "/login") {
  await page.goto(`${PORTAL}${from}`);
  await page.click("form[action='/login/oidc'] button");
  await page.waitForURL((url) => url.href.startsWith(ISSUER) || url.pathname !== "/login/oidc");
  if (page.url().startsWith(ISSUER)) await logInThere(page, email);
}

async function logInThere(page, email) {
  await page.waitForSelector("input[name=login]");
  await page.fill("input[name=login]", email);
  await page.fill("input[name=password]", "anything");
  await page.click("button[type=submit]");
}

async function logOut(page) {
  await page.click(".mine summary");
  await page.click("form[action='/logout'] button");
  await page.waitForURL("**/login?done=bye");
}

const namespaceOf = (page) => new URL(page.url()).pathname.split("/")[2];

try {
  const jane = await somebody();
  await through(jane, "jane@example.com");
  await jane.waitForURL("**/n/*?done=welcome");
  const home = namespaceOf(jane);
  await jane.goto(`${PORTAL}/settings/sessions`);
  const linked = await jane.textContent("section[aria-labelledby=identities]");
  check(linked.includes("jane@example.com"), `the identity is not listed: ${linked}`);
  step(`signed up by the provider, namespace ${home}`);

  await logOut(jane);
  await through(jane, "jane@example.com", "/login?redirect_to=/settings/sessions");
  await jane.waitForURL(`${PORTAL}/settings/sessions`);
  await logOut(jane);
  await through(jane, "jane@example.com", "/login?redirect_to=//evil.example/");
  await jane.waitForURL(`${PORTAL}/n/${home}`);
  step("came again, to where they wanted and nowhere else");

  const joe = await somebody();
  await joe.goto(`${PORTAL}/signup`);
  await joe.fill("#email", "joe@example.com");
  await joe.click("form[action='/signup/code'] button");
  await joe.waitForSelector("#code");
  let code;
  for (const end = Date.now() + 30_000; !code; ) {
    check(Date.now() < end, "no mail came");
    code = mailedCode(MAIL_FILE, "joe@example.com");
    if (!code) await joe.waitForTimeout(100);
  }
  await joe.fill("#code", code);
  await joe.fill("#password", PASSWORD);
  await joe.click("form[action='/signup'] button");
  await joe.waitForURL("**/n/**");
  const joes = namespaceOf(joe);
  await joe.goto(`${PORTAL}/settings/sessions`);
  await joe.click("form[action='/settings/identities'] button");
  await logInThere(joe, "unverified-joe@example.org");
  await joe.waitForURL("**/settings/sessions?done=linked");
  await logOut(joe);
  await through(joe, "unverified-joe@example.org");
  await joe.waitForURL(`${PORTAL}/n/${joes}`);
  step("linked in the settings, and logged in by the link");

  const eve = await somebody();
  await through(eve, "unverified-eve@example.org");
  await eve.waitForSelector("[role=alert]");
  const told = await eve.textContent("[role=alert]");
  check(/does not vouch for your e-mail address/.test(told), `an unverified address was told ${told}`);
  check((await eve.context().cookies(PORTAL)).every((cookie) => cookie.name !== "micro-session"), "eve is in");
  step("an address that the provider did not verify is refused");

  // The end of Mallory's login, which she did not use, opened by Jane: she must not become Mallory.
  const mallory = await somebody();
  await mallory.goto(`${PORTAL}/login`);
  await mallory.click("form[action='/login/oidc'] button");
  await mallory.waitForURL((url) => url.href.startsWith(ISSUER));
  await mallory.context().clearCookies({ name: "micro-oidc" });
  await logInThere(mallory, "mallory@example.com");
  await mallory.waitForSelector("[role=alert]");
  const end = mallory.url();
  check(end.startsWith(`${PORTAL}/login/oidc/callback?code=`), `Mallory is at ${end}`);
  await jane.goto(end);
  await jane.waitForSelector("[role=alert]");
  await jane.goto(`${PORTAL}/settings/profile`);
  check((await jane.textContent("main")).includes("jane@example.com"), "Jane is somebody else now");
  step("another browser's login leads nowhere");
  check(failures.length === 0, failures.join("\n"));
} catch (error) {
  console.error(error.message, failures.join("\n"));
  for (const [at, context] of browser.contexts().entries()) {
    const page = context.pages()[0];
    console.error(page?.url(), await page?.textContent("body").catch(() => ""));
    await page?.screenshot({ path: `oidc-failed-${at}.png`, fullPage: true }).catch(() => {});
  }
  process.exitCode = 1;
} finally {
  await browser.close();
}
