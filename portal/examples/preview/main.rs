//! Shows the portal's pages without a platform: `cargo run -p micro-portal --example preview -- --mode full`.
//!
//! It prints its address and, for `--signed-in`, a session to put into the cookie `micro-session`.

#![expect(clippy::unwrap_used, reason = "a preview ends at what it does not expect")]

#[path = "fake.rs"]
mod fake;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;

use fake::{EMAIL, Fake, Mode};

#[derive(Parser)]
struct Args {
    /// What the platform knows: `empty`, `full`, or `error` for one that fails.
    #[arg(long, default_value = "full")]
    mode: String,
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The file that mails go to.
    #[arg(long)]
    mail_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mode = match args.mode.as_str() {
        "empty" => Mode::Empty,
        "full" => Mode::Full,
        "error" => Mode::Error,
        other => anyhow::bail!("`{other}` is no mode: choose empty, full or error"),
    };
    let mut fake = Fake::new(mode);
    fake.mail_file = args.mail_file;
    let fake = Arc::new(fake);
    let session = fake.open(EMAIL).session;
    let control = fake::serve(Arc::clone(&fake)).await;
    let router = micro_portal::router(micro_portal::Config {
        client: micro_client::Client::new(control.to_string().parse()?)?,
        secret: "preview".into(),
        hosts: vec!["localhost".into(), "127.0.0.1".into()],
        secure: false,
        gateway_url: "http://localhost:8080".into(),
        domain: "localhost".into(),
        control_url: "127.0.0.1:8081".into(),
        trusted_proxies: Vec::new(),
    })?;
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    println!("portal http://{}", listener.local_addr()?);
    println!("session {session}");
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
