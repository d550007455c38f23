//! The conversations about accounts, tokens and rules, over the port: from an empty platform, by a person who signs up.

use std::fs;

use anyhow::{Context, Result, ensure};
use micro_integration::git_server::HttpServer;
use micro_integration::guest::Guest;
use micro_integration::tenant::mailed_code;
use micro_integration::{Micro, Options, Platform, Repo, http};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::compare::Expect::{self, Anything, Nothing, Pieces, Table, Text};
use super::{Step, converse, converse_with, fails, prints};

const SIGNED_OUT: Expect =
    Text("[Platform] You must be logged in to perform this request\n[Platform] API Error: 401");

/// What somebody without an account is told.
const STRANGER: &[Step] = &[
    fails("G-44", "run --platform foobar", SIGNED_OUT),
    fails("G-46", "whoami", Text("You are not logged in")),
    fails("G-47", "status", Pieces(&["account is required"])),
    fails(
        "G-41",
        "login --token bad",
        Text(
            "{\"id\":\"go.micro.auth\",\"code\":401,\"detail\":\"Invalid token\",\"status\":\"Unauthorized\"}",
        ),
    ),
    fails("G-41", "whoami", Text("You are not logged in")),
    // Nobody knows a password of a new platform.
    fails("2.11 9", "login admin micro", Text("the id or the secret is wrong")),
    fails("2.11 9", "login default default", Text("the id or the secret is wrong")),
];

/// What G-100 prints, when it is answered by a pipe.
const SIGNUP: &str = "Enter email address: Enter the OTP sent to your email address: Enter a new password: \n\
                      Verify your password: \n\nSignup complete! You're now logged in.\n";

/// With a copied token.
const PLATFORM: &[Step] = &[
    prints("G-40", "login --platform --token {token}", Text("You have been logged in")),
    prints("G-46", "whoami --platform", Text("ID: <id>; Scopes: <scopes>")),
    prints("G-42", "run --platform foobar", Text("[Platform] Service foobar:latest created")),
    prints(
        "G-43",
        "ps --platform",
        Table(
            "NAME\tVERSION\tSOURCE\tSTATUS\tBUILD\tUPDATED\tMETADATA\n\
             foobar\tlatest\tgithub.com/micro/services/foobar\trunning\t<build>\t<time> ago\towner=<o>,group=<g>",
        ),
    ),
    prints("G-45", "kill --platform foobar", Text("[Platform] Service foobar:latest deleted")),
];

/// With the login that sign-up left behind.
const RULES: &[Step] = &[
    prints(
        "G-101",
        "auth create account --secret secret-of-alice --scopes developer alice",
        Pieces(&[
            "Account created: {\"id\":\"alice\",\"type\":\"user\",\"issuer\":\"<issuer>\",\"metadata\":{},",
            "\"scopes\":[\"developer\"],\"secret\":\"secret-of-alice\"}\n",
        ]),
    ),
    fails(
        "G-101",
        "auth create account --secret secret-of-alice alice",
        Pieces(&["Account with this ID already exists"]),
    ),
    prints(
        "G-102",
        "auth list accounts",
        Table("ID\tScopes\tMetadata\njane\t<scopes>\tn/a\nalice\tdeveloper\tn/a"),
    ),
    prints(
        "G-103",
        "auth create rule --access=granted --scope=* --resource=*:*:* onlyloggedin",
        Text("Rule created"),
    ),
    prints(
        "G-104",
        "auth create rule --access=granted --resource=service:auth:Auth.Token authpublic",
        Text("Rule created"),
    ),
    prints("G-104", "auth delete rule default", Text("Rule deleted")),
    prints("G-105", "logout", Text("You have been logged out")),
    fails("G-105", "auth list rules", Pieces(&["account is required"])),
    prints("G-106", "login --username jane --password password-1", Text("Successfully logged in.")),
    prints("G-105", "auth list rules", Pieces(&["ID\t", "authpublic\t", "onlyloggedin\t"])),
    prints("G-106", "logout", Text("You have been logged out")),
    prints("G-106", "login", Text("Enter username: Enter password: \nSuccessfully logged in."))
        .typing("jane@example.com\npassword-1\n"),
    fails(
        "G-107",
        "user set password --old-password wrong --new-password password-2",
        Text("the password is wrong"),
    ),
    prints("G-107", "user set password --old-password password-1 --new-password password-2", Anything),
    fails("G-107", "login jane password-1", Text("the id or the secret is wrong")),
    prints("G-107", "login jane password-2", Text("You have been logged in")),
    prints("G-46", "logout", Text("You have been logged out")),
    prints("G-40", "login alice secret-of-alice --namespace {namespace}", Text("You have been logged in")),
    prints("G-46", "whoami", Text("ID: alice; Scopes: developer")),
    prints("G-46", "login jane password-2", Text("You have been logged in")),
];

/// After a token was damaged.
const RECOVERS: &[Step] = &[
    fails("G-108", "status", Pieces(&["account is required"])),
    prints("G-108", "login jane password-2", Text("You have been logged in")),
    prints("G-108", "status", Nothing),
];

/// All of it, with these flags for the server.
pub(super) async fn check(mut flags: Vec<String>) -> Result<()> {
    let mirror = tempfile::tempdir()?;
    let services = Repo::init(&mirror.path().join("micro/services"))?;
    Guest::Example("helloworld")
        .place(&services.dir().join("foobar"), "[service]\nname = \"foobar\"\npublic = true\n")?;
    services.commit("Say hello")?;
    let git = HttpServer::start(mirror.path()).await?;
    flags.push(format!("--builder_flag=--mirror=https://github.com/={}", git.url("")));
    let platform = Platform::start_with(Options { flags, closed: true, ..Options::default() }).await?;
    let home = platform.scratch().join("jane");
    fs::create_dir(&home).context("make a home")?;
    let micro = Micro::new(&home)
        .with_env("MICRO_PROXY_ADDRESS", &platform.control().to_string())
        .with_env("MICRO_RUNTIME_SOURCE", "github.com/micro/services");
    converse(&micro, &home, STRANGER).await?;
    sign_up(&platform, &micro).await?;
    let namespace = micro.ok(&["user", "namespace"]).await?.trim().to_owned();
    let token = micro.ok(&["token", "create", "--description", "transcripts"]).await?.trim().to_owned();
    let names = [("{token}", token.as_str()), ("{namespace}", namespace.as_str())];
    converse_with(&micro, &home, PLATFORM, &names).await?;
    public_and_protected(&platform, &micro, &namespace).await?;
    converse_with(&micro, &home, RULES, &names).await?;
    corrupt(&micro)?;
    converse(&micro, &home, RECOVERS).await
}

/// G-100.
async fn sign_up(platform: &Platform, micro: &Micro) -> Result<()> {
    let output = micro
        .answer(&["signup"], async |mut keyboard| {
            keyboard.write_all(b"jane@example.com\n").await?;
            let code = mailed_code(platform, "jane@example.com", "").await?;
            keyboard.write_all(format!("{code}\npassword-1\npassword-1\n").as_bytes()).await?;
            Ok(())
        })
        .await?;
    ensure!(output.code == 0 && output.stdout == SIGNUP, "G-100 {output:?}");
    Ok(())
}

/// G-127, G-128 and G-131.
async fn public_and_protected(platform: &Platform, micro: &Micro, namespace: &str) -> Result<()> {
    micro.ok(&["run", "foobar"]).await?;
    let get = async |token: &str| {
        let mut request = http::client()?.get(platform.url("/foobar/helloworld/call?name=John"));
        request = request.header("Micro-Namespace", namespace);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        http::send(request).await
    };
    let public = get("").await?;
    ensure!(public.status == 200 && public.body.contains("Hello John"), "G-131 {public:?}");
    micro.ok(&["auth", "delete", "rule", "public-foobar"]).await?;
    let nobody = get("").await?;
    let error = nobody.json()?;
    ensure!(
        nobody.status == 401 && error["code"] == 401 && error["status"] == "Unauthorized",
        "G-127 {nobody:?}"
    );
    ensure!(error["id"].as_str().is_some_and(|id| !id.is_empty()), "G-127 {nobody:?}");
    let scoped =
        ["auth", "create", "rule", "--scope=owner", "--resource=service:foobar:*", "--priority=2", "owners"];
    micro.ok(&scoped).await?;
    let others = ["auth", "create", "rule", "--access=denied", "--scope=*", "--resource=service:foobar:*"];
    micro.ok(&[&others[..], &["--priority=1", "others"]].concat()).await?;
    let key = micro.ok(&["token", "create", "--scopes=viewer"]).await?;
    let refused = get(key.trim()).await?;
    let error = refused.json()?;
    ensure!(refused.status == 403 && error["status"] == "Forbidden", "G-128 {refused:?}");
    let all = micro.ok(&["token", "create"]).await?;
    let allowed = get(all.trim()).await?;
    ensure!(allowed.status == 200, "an owner: {allowed:?}");
    for rule in ["owners", "others"] {
        micro.ok(&["auth", "delete", "rule", rule]).await?;
    }
    micro.ok(&["kill", "foobar"]).await.map(drop)
}

/// Changes one character of the refresh token, and lets the access token be over.
fn corrupt(micro: &Micro) -> Result<()> {
    let file = micro.home().join(".micro/config.json");
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(&file).context("read the configuration")?)?;
    let login = &mut config["tokens"]["local"];
    let token = login["refresh_token"].as_str().context("a refresh token")?;
    let last = if token.ends_with('A') { "B" } else { "A" };
    let damaged = format!("{}{last}", token.get(..token.len() - 1).unwrap_or_default());
    login["refresh_token"] = damaged.into();
    login["expiry"] = 1.into();
    fs::write(&file, config.to_string()).context("write the configuration")
}
