//! `PUT /v1/blobs/object`: the bytes, streamed to where blobs lie.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use micro_api::Error as Api;
use micro_api::blob::{Info, Put};
use tokio::sync::Mutex;

use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract::Query;

const ID: &str = "blobs";
/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(30);

/// How long all of an upload may take: it holds one of a few places.
const WHOLE: Duration = Duration::from_secs(60 * 60);
/// How long what is left of a refused upload is still taken: who sends it reads the answer only afterwards.
const DRAIN: Duration = Duration::from_secs(10);

type Source = Arc<Mutex<BodyDataStream>>;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    Query(put): Query<Put>,
    body: Body,
) -> Result<Json<Info>, Error> {
    let source = Arc::new(Mutex::new(body.into_data_stream()));
    let putting = control.node.blob_put(&caller.namespace, put, chunks(Arc::clone(&source)));
    let put = tokio::time::timeout(WHOLE, putting).await;
    match put.unwrap_or_else(|_| Err(Api::timeout(ID, "the upload took longer than an hour"))) {
        Ok(info) => Ok(Json(info)),
        Err(error) => {
            // At its end or not, the answer is the same.
            let _ended = tokio::time::timeout(DRAIN, drain(&source)).await;
            Err(error.into())
        }
    }
}

/// The bytes as they come; an error where a client leaves or is silent for too long.
fn chunks(source: Source) -> BoxStream<'static, Result<Bytes, Api>> {
    let stream = try_unfold(source, |source| async move {
        let next = tokio::time::timeout(IDLE, async { source.lock().await.next().await }).await;
        match next {
            Err(_) => Err(Api::timeout(ID, "the upload stood still for 30 s")),
            Ok(Some(Err(_))) => Err(Api::bad_request(ID, "the upload ended early")),
            Ok(Some(Ok(chunk))) => Ok(Some((chunk, source))),
            Ok(None) => Ok(None),
        }
    });
    stream.boxed()
}

async fn drain(source: &Source) {
    let mut source = source.lock().await;
    while let Some(Ok(_)) = source.next().await {}
}
