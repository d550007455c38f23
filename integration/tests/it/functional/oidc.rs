//! Logging in with an account elsewhere: the real platform, a real provider, and a real browser between them.

use std::time::Duration;

use anyhow::Result;
use micro_integration::oidc::Provider;
use micro_integration::{Platform, scripts};

const DEADLINE: Duration = Duration::from_secs(200);

/// People sign up by the provider, come again, link and are refused, as `oidc.mjs` says step by step.
#[tokio::test(flavor = "multi_thread")]
async fn people_come_by_a_provider() -> Result<()> {
    let provider = Provider::start().await?;
    let platform = Platform::start_with(provider.options()).await?;
    let env = [("OIDC_ISSUER", provider.issuer().into())];
    scripts::browse(&platform, "oidc.mjs", &env, DEADLINE, "another browser's login leads nowhere").await
}
