// A small OpenID Connect provider for tests: `oidc-provider` with its own login form, on a port that the system chose.
// Whoever types an e-mail address is its owner; one that begins with `unverified` is not verified. It prints its issuer
// as its first line, and ends when its standard input does. CLIENT_ID and CLIENT_SECRET name the one client.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import Provider, { interactionPolicy } from "oidc-provider";

const { CLIENT_ID, CLIENT_SECRET } = process.env;

// Nobody is asked what they allow: that page is the provider's own matter.
const policy = interactionPolicy.base();
policy.get("consent").checks.remove("native_client_prompt");

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      // The platform's port is known later; the redirect of a native client may have any on this machine.
      application_type: "native",
      redirect_uris: ["http://localhost/login/oidc/callback"],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  cookies: { keys: ["test"] },
  pkce: { required: () => true },
  interactions: { policy },
  features: { devInteractions: { enabled: true } },
  async findAccount(_context, email) {
    const sub = createHash("sha256").update(email).digest("hex").slice(0, 16);
    return { accountId: email, claims: () => ({ sub, email, email_verified: !email.startsWith("unverified") }) };
  },
  async loadExistingGrant(context) {
    const { client, session } = context.oidc;
    const grant = new context.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid email");
    await grant.save();
    return grant;
  },
});
provider.on("server_error", (_context, error) => console.error(error));
provider.on("grant.error", (_context, error) => console.error(error.message, error.error_detail ?? ""));
server.on("request", provider.callback());
console.log(issuer);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
