//! `micro doctor`: whether this machine can build and run services, and how to mend what is amiss.

mod check;

use anyhow::Result;
use serde::Serialize;

use crate::environment::Selection;
use crate::format::Format;
use crate::output::{self, Exit};

/// Check toolchain, sandbox, ports, disk and server, and say how to mend each finding
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Works, with a limit that is told.
    Warn,
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    status: Status,
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, detail: detail.into(), mend: None }
    }

    fn warn(check: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, status: Status::Warn, detail: detail.into(), mend: Some(mend.into()) }
    }

    fn fail(check: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, status: Status::Fail, detail: detail.into(), mend: Some(mend.into()) }
    }
}

/// Exit code 1 when a check failed.
pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    let server = check::server(selection).await;
    let mut findings = vec![
        check::home(),
        check::programs(),
        check::toolchain(),
        check::target(),
        check::git(),
        check::sandbox(),
        check::disk(),
        check::socket(selection),
    ];
    let is_running = server.status == Status::Ok;
    findings.extend(check::ports(is_running));
    findings.push(server);
    if is_running {
        findings.extend(check::readiness().await);
    }
    match args.format.is_json() {
        true => output::json(&findings)?,
        false => output::print(&render(&findings))?,
    }
    match findings.iter().any(|finding| finding.status == Status::Fail) {
        true => Err(Exit(1).into()),
        false => Ok(()),
    }
}

fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let status = match finding.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        text.push_str(&format!("{status:<6}{:<12}{}\n", finding.check, finding.detail));
        if let Some(mend) = &finding.mend {
            text.push_str(&format!("{:<18}mend: {mend}\n", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_how_to_mend_it() {
        let findings =
            [Finding::ok("git", "git version 2"), Finding::fail("target", "no wasm32-wasip2", "run x")];
        assert_eq!(
            render(&findings),
            "ok    git         git version 2\n\
             FAIL  target      no wasm32-wasip2\n                  mend: run x\n"
        );
    }
}
