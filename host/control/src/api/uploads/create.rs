//! `POST /v1/uploads`: a source as tar.gz, streamed to disk. Nothing here looks inside: the builder unpacks it in its
//! sandbox.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use micro_api::deployment::Upload;
use micro_api::{Error as Api, Namespace};
use tokio::io::AsyncWriteExt;

use crate::Control;
use crate::authz::{Authorized, DeployService};
use crate::error::{Error, chain};

const ID: &str = "uploads";
/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(30);
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<DeployService>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Upload>), Error> {
    let length = check(&headers, control.config.upload_bytes_max)?;
    let Ok(_permit) = tokio::time::timeout(IDLE, control.uploads.acquire()).await else {
        return Err(Api::new(ID, 429, "too many uploads at once: try again").into());
    };
    // Before the bytes, so that none are sent in vain, and after them, when their number is known for sure.
    make_room(&control, &caller.namespace, length).await?;
    let id = uuid::Uuid::new_v4().to_string();
    let size = receive(&control, &id, body.into_data_stream()).await?;
    if let Err(error) = share(&control, &id).await {
        remove(&control, &id).await;
        return Err(error);
    }
    if let Err(error) = keep(&control, &caller.namespace, &id, size).await {
        remove(&control, &id).await;
        return Err(error);
    }
    Ok((StatusCode::CREATED, Json(Upload { id, size })))
}

/// Gives the archive to the builders of all nodes, where there are several.
async fn share(control: &Control, id: &str) -> Result<(), Error> {
    let Some(remote) = control.config.artifacts.remote().cloned() else { return Ok(()) };
    let (name, file) = (name(id), control.config.uploads.join(format!("{id}.tar.gz")));
    let put = tokio::task::spawn_blocking(move || remote.put(&name, &file)).await;
    match put.map_err(|error| chain(&error)).and_then(|put| put.map_err(|error| chain(&error))) {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::error!(error, "An upload was not given to the other nodes");
            Err(Api::new(ID, 503, "the platform's bucket cannot be reached: try again").into())
        }
    }
}

/// Where nodes share it.
fn name(id: &str) -> String {
    format!("uploads/{id}.tar.gz")
}

async fn keep(control: &Control, namespace: &Namespace, id: &str, size: u64) -> Result<(), Error> {
    make_room(control, namespace, size).await?;
    let max = control.config.uploads_bytes_max;
    control.db.insert_upload(namespace, id, size, max).await.map_err(Error::db(ID))
}

/// Refuses what would be too much beside the namespace's other uploads. Those that were used go first.
async fn make_room(control: &Control, namespace: &Namespace, size: u64) -> Result<(), Error> {
    let max = control.config.uploads_bytes_max;
    match control.db.check_upload(namespace, size, max).await {
        Err(micro_db::Error::UploadsFull(_)) => {}
        result => return result.map_err(Error::db(ID)),
    }
    for id in control.db.forget_used_uploads(namespace).await.map_err(Error::db(ID))? {
        remove(control, &id).await;
    }
    control.db.check_upload(namespace, size, max).await.map_err(Error::db(ID))
}

/// Removes an archive that no row names. One that stays is swept later.
async fn remove(control: &Control, id: &str) {
    let path = control.config.uploads.join(format!("{id}.tar.gz"));
    if let Err(error) = tokio::fs::remove_file(&path).await {
        tracing::warn!(error = chain(&error), upload = id, "An upload was not removed");
    }
    let Some(remote) = control.config.artifacts.remote().cloned() else { return };
    let name = name(id);
    let removed = tokio::task::spawn_blocking(move || remote.remove(&name, Duration::ZERO)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(error = chain(&error), upload = id, "An upload was not removed from the bucket");
    }
}

/// The length that the client announces; 0 for none.
fn check(headers: &HeaderMap, max: u64) -> Result<u64, Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !matches!(kind, "application/gzip" | "application/x-gzip") {
        return Err(Api::new(ID, 415, "send a tar.gz as application/gzip").into());
    }
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    Ok(length.unwrap_or(0))
}

fn too_large(max: u64) -> Error {
    let mebibytes = max / (1024 * 1024);
    Api::new(
        ID,
        413,
        format!("the source is larger than {mebibytes} MiB: leave out what .gitignore can name"),
    )
    .into()
}

/// Writes the archive under its id. It appears whole or not at all.
async fn receive(control: &Control, id: &str, mut body: BodyDataStream) -> Result<u64, Error> {
    let folder = &control.config.uploads;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("make the folder"))?;
    let partial = Partial(folder.join(format!("{id}.partial")));
    let mut file = tokio::fs::File::create(&partial.0).await.map_err(failed("create"))?;
    let (mut size, mut head) = (0_u64, Vec::<u8>::with_capacity(GZIP.len()));
    loop {
        let chunk = match tokio::time::timeout(IDLE, body.next()).await {
            Err(_) => return Err(Api::timeout(ID, "the upload stood still for 30 s").into()),
            Ok(Some(Err(_))) => return Err(Api::bad_request(ID, "the upload ended early").into()),
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
        };
        size += chunk.len() as u64;
        if size > control.config.upload_bytes_max {
            return Err(too_large(control.config.upload_bytes_max));
        }
        head.extend(chunk.iter().take(GZIP.len() - head.len()));
        file.write_all(&chunk).await.map_err(failed("write"))?;
    }
    if head != GZIP {
        return Err(Api::bad_request(ID, "the upload is not a tar.gz").into());
    }
    file.flush().await.map_err(failed("write"))?;
    file.sync_all().await.map_err(failed("sync"))?;
    std::fs::rename(&partial.0, folder.join(format!("{id}.tar.gz"))).map_err(failed("rename"))?;
    sync_folder(folder).map_err(failed("sync the folder"))?;
    Ok(size)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

fn failed(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    move |error| {
        tracing::error!(error = chain(&error), "An upload failed: {doing}");
        match error.kind() {
            StorageFull | QuotaExceeded => Api::new(ID, 507, "the platform's disk is full").into(),
            _ => Api::internal(ID, "the upload could not be stored").into(),
        }
    }
}

/// A file that goes when the upload does not come to its end, also when the client leaves.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing under this name.
        let _gone = std::fs::remove_file(&self.0);
    }
}
