//! From a source to a settled deployment: pack, upload, submit, wait, tell.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use micro_api::deployment::{Deployment, DeploymentState, RunRequest, Source};
use micro_api::{ServiceName, ServiceType};
use micro_client::{Client, Wait};

use crate::output::{self, Exit};
use crate::progress::Progress;
use crate::source::{self, Folder, Origin, Target};

/// How long one question for the deployment's state may wait for an answer.
const WAIT: Duration = Duration::from_secs(20);
/// A server that restarts goes on with the deployment; this long it may be away.
const AWAY_MAX: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(500);

/// As a shell reports a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// New, or in place of a running one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Run,
    Update,
}

/// What `run` and `update` may add to a source.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Name of the service; else micro.toml's, else the last part of the source
    #[arg(long)]
    name: Option<ServiceName>,
    /// Type of the service: service, api, web or function
    #[arg(long, value_name = "TYPE")]
    r#type: Option<ServiceType>,
    /// Environment variables, A=B,C=D; may be given again
    #[arg(long = "env_vars", alias = "env-vars", value_name = "NAME=VALUE")]
    env_vars: Vec<String>,
    /// Argument of a job; may be given again
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    args: Vec<String>,
    /// How often a failing start is tried again
    #[arg(long, default_value_t = 3)]
    retries: u32,
    /// Return at once, without waiting until it runs
    #[arg(long, short)]
    detach: bool,
    /// Print the deployment as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Deploys `target` and, unless told otherwise, waits until it runs. A failed deployment has been told on stderr and
/// is exit code 1.
pub(crate) async fn deploy(
    client: &Client,
    action: Action,
    target: &Target,
    options: &Options,
) -> Result<Deployment> {
    let mut progress = Progress::new();
    let source = match &target.origin {
        Origin::Git(source) => source.clone(),
        Origin::Local(folder) => upload(client, folder, &mut progress).await?,
    };
    let mut request = request(source, target, options)?;
    if action == Action::Update
        && options.name.is_none()
        && matches!(target.origin, Origin::Git(_))
        && let Some((name, version)) = running_from(client, &target.given).await?
    {
        (request.name, request.version) = (name, version);
    }
    let deployment = match action {
        Action::Run => client.run(&request).await?,
        Action::Update => client.update(&request).await?,
    };
    let deployment = match options.detach {
        true => deployment,
        false => settle(client, deployment, progress).await?,
    };
    if options.json {
        output::json(&deployment)?;
    }
    Ok(deployment)
}

/// The service that was run from a source in git. Its name may come from the `micro.toml` there, which only the
/// builder has read.
pub(crate) async fn running_from(client: &Client, given: &str) -> Result<Option<(ServiceName, String)>> {
    let services = client.services(None, None).await?;
    let Some(found) = services.into_iter().find(|service| service.source == given) else { return Ok(None) };
    Ok(Some((found.name.parse()?, found.version)))
}

async fn upload(client: &Client, folder: &Folder, progress: &mut Progress) -> Result<Source> {
    progress.begin("pack");
    let packed = folder.clone();
    let archive = tokio::task::spawn_blocking(move || source::pack(&packed)).await.context("packing")??;
    progress.end();
    progress.begin("upload");
    let (size, note) = (archive.size, progress.note());
    let report = move |sent: u64| note(format!("{} of {} KiB", sent >> 10, size.div_ceil(1024)));
    let upload = client.upload(archive.file.path(), report).await?;
    progress.end();
    Ok(Source::Upload { upload: upload.id, folder: folder.inside.clone() })
}

fn request(source: Source, target: &Target, options: &Options) -> Result<RunRequest> {
    let mut name = options.name.clone().unwrap_or_else(|| target.name.clone());
    if let Some(kind) = options.r#type {
        name.kind = kind;
    }
    Ok(RunRequest {
        source,
        source_given: target.given.clone(),
        name,
        name_forced: options.name.is_some(),
        r#type: options.r#type,
        version: target.version.clone(),
        env: environment(&options.env_vars)?,
        args: options.args.clone(),
        retries: options.retries,
    })
}

/// `A=B,C=D`, where a comma that no `NAME=` follows belongs to the value.
fn environment(lists: &[String]) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for list in lists {
        let mut last: Option<String> = None;
        for part in list.split(',') {
            match (part.split_once('=').filter(|(name, _)| is_name(name)), &last) {
                (Some((name, value)), _) => {
                    variables.insert(name.to_owned(), value.to_owned());
                    last = Some(name.to_owned());
                }
                (None, Some(name)) => {
                    let value: &mut String = variables.entry(name.clone()).or_default();
                    value.push(',');
                    value.push_str(part);
                }
                (None, None) => bail!("`{part}` is no environment variable: write NAME=VALUE"),
            }
        }
    }
    Ok(variables)
}

fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

async fn settle(client: &Client, deployment: Deployment, mut progress: Progress) -> Result<Deployment> {
    let name = deployment.service.clone();
    let deployment = tokio::select! {
        settled = follow(client, deployment, &mut progress) => settled?,
        Ok(()) = tokio::signal::ctrl_c() => {
            drop(progress);
            output::complain(&format!("the deployment goes on; look with `micro status {name}`"));
            return Err(Exit(INTERRUPTED).into());
        }
    };
    progress.finish(deployment.state.status());
    match deployment.state {
        DeploymentState::Failed => {
            explain(&deployment);
            Err(Exit(1).into())
        }
        DeploymentState::Superseded => bail!("a newer deployment of {} took its place", deployment.service),
        _ => Ok(deployment),
    }
}

/// Asks until the deployment rests.
async fn follow(client: &Client, mut current: Deployment, progress: &mut Progress) -> Result<Deployment> {
    let mut away_since: Option<Instant> = None;
    loop {
        progress.show(&current);
        if current.state.is_settled() {
            return Ok(current);
        }
        let asked = Instant::now();
        let wait = Wait { seen_ms: current.updated_ms, time: WAIT };
        match client.deployment(&current.id, Some(wait)).await {
            Ok(next) => {
                away_since = None;
                // An answer at once that says nothing new comes from a server that cannot wait.
                if next.updated_ms == current.updated_ms && asked.elapsed() < RETRY {
                    tokio::time::sleep(RETRY).await;
                }
                current = next;
            }
            Err(error) if error.is_unreachable() => {
                if away_since.get_or_insert(asked).elapsed() > AWAY_MAX {
                    return Err(error.into());
                }
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tells on stderr why a deployment failed. A compiler's lines are part of the error.
fn explain(deployment: &Deployment) {
    let detail = match &deployment.error {
        Some(error) if !error.detail.is_empty() => error.detail.clone(),
        Some(error) => error.to_json(),
        None => "the deployment failed".to_owned(),
    };
    for line in detail.lines() {
        output::complain(&output::printable(line));
    }
    let version = match deployment.version.as_str() {
        source::LATEST => String::new(),
        version => format!(" --version {version}"),
    };
    output::complain(&format!("see the whole log: micro logs --build{version} {}", deployment.service));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_variables_come_in_lists() {
        let list = |lists: &[&str]| {
            environment(&lists.iter().map(|list| (*list).to_owned()).collect::<Vec<_>>())
                .map(|map| map.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
        };
        assert_eq!(list(&["A=B,C=D", "E="]).unwrap(), ["A=B", "C=D", "E="]);
        assert_eq!(list(&["A=1,2,3,B=x=y"]).unwrap(), ["A=1,2,3", "B=x=y"]);
        assert_eq!(list(&["A=http://x/?a=1,b"]).unwrap(), ["A=http://x/?a=1,b"]);
        assert!(list(&["A"]).is_err() && list(&["1=x"]).is_err());
    }
}
