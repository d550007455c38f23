//! The side of an HTTP call that talks to the gateway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::Frame;
use http_body_util::BodyExt;
use micro_capability::Context;

use super::body::{Body, LiveBody, ReadyBody};
use super::{Answer, GuestBody, Upload};
use crate::apart::Apart;
use crate::driver::Driver;
use crate::fault::Fault;
use crate::revision::{Activity, Revision};
use crate::slot::Slot;

/// So many times a guest that has nothing more is asked again, in the hope that the answer is complete: the store's
/// event loop takes several turns for what needs no waiting. An answer that streams pays for it once.
const TURNS_MAX: u32 = 8;

/// So many bytes are gathered in the hope that the answer is complete, …
const GATHER_BYTES_MAX: u64 = 64 << 10;
/// … in so many parts.
const GATHER_FRAMES_MAX: usize = 32;

/// Runs a call until its answer can be sent, whole or as a stream. `driver` is none where an instance that serves
/// several calls runs this one.
pub(crate) async fn exchange(
    revision: Arc<Revision>,
    context: &Context,
    mut driver: Option<Driver>,
    slot: &Slot<Answer>,
    upload: &Arc<Upload>,
    activity: Activity,
) -> Result<Response<Body>, Fault> {
    let limits = *revision.limits();
    let answer = match &mut driver {
        Some(running) => {
            let sending = Arc::clone(upload);
            running.extend_by(move || sending.head_due(limits.wall, limits.http_total));
            head(&mut driver, slot).await
        }
        None => head_within(slot, upload, limits.wall, limits.http_total).await,
    };
    if upload.is_over() {
        revision.log_fault(&Fault::RequestLimit, &context.request_id);
        return Err(Fault::RequestLimit);
    }
    let response = answer.inspect_err(|fault| {
        if driver.is_none() || matches!(fault, Fault::NoAnswer(_) | Fault::BadResponse(_)) {
            revision.log_fault(fault, &context.request_id);
        }
    })?;
    let (parts, guest) = response.into_parts();
    if let Err(fault) = check_head(parts.status, &parts.headers) {
        revision.log_fault(&fault, &context.request_id);
        return Err(fault);
    }
    let deadline = Instant::now() + limits.http_total;
    if let Some(driver) = &mut driver {
        driver.set_deadline(deadline);
    }
    let mut gathering = Gathering {
        driver,
        guest: Some(guest),
        frames: VecDeque::new(),
        bytes: 0,
        left: limits.response_bytes,
    };
    gathering.gather().await.inspect_err(|fault| {
        if matches!(fault, Fault::ResponseLimit | Fault::NoAnswer(_)) {
            revision.log_fault(fault, &context.request_id);
        }
    })?;
    let Gathering { driver, guest, frames, left, bytes } = gathering;
    revision.guest().tally().egress(bytes);
    let body = if guest.is_none() {
        if let Some(driver) = driver {
            driver.detach();
        }
        ReadyBody { frames }.boxed_unsync()
    } else {
        LiveBody {
            ready: frames,
            guest,
            driver: driver.map(|driver| Apart::start(driver, &revision)),
            left,
            request_id: context.request_id.clone(),
            revision,
            idle: None,
            deadline,
            _activity: activity,
        }
        .boxed_unsync()
    };
    Ok(Response::from_parts(parts, body))
}

/// Waits for the head of the answer. A call that ended well may have left one; a failed one counts as failed even if
/// it did, since nothing of it was sent.
async fn head(driver: &mut Option<Driver>, slot: &Slot<Answer>) -> Answer {
    std::future::poll_fn(|cx| {
        slot.register(cx);
        let ended = match driver.as_mut().map(|driver| driver.poll(cx)) {
            None | Some(Poll::Pending) => false,
            Some(Poll::Ready(Ok(()))) => true,
            Some(Poll::Ready(Err(fault))) => return Poll::Ready(Err(fault)),
        };
        if ended {
            *driver = None;
        }
        match slot.take() {
            Some(answer) => Poll::Ready(answer),
            None if ended => {
                Poll::Ready(Err(Fault::NoAnswer("the service ended without an answer".to_owned())))
            }
            None => Poll::Pending,
        }
    })
    .await
}

/// The same where the call runs by itself.
async fn head_within(slot: &Slot<Answer>, upload: &Upload, wall: Duration, total: Duration) -> Answer {
    loop {
        let due = upload.head_due(wall, total);
        if due <= Instant::now() {
            return Err(Fault::WallLimit);
        }
        let answer = std::future::poll_fn(|cx| slot.poll_take(cx));
        if let Ok(answer) = tokio::time::timeout_at(due.into(), answer).await {
            return answer;
        }
    }
}

/// Statuses and headers that a guest may choose but HTTP or the gateway may not send.
fn check_head(status: http::StatusCode, headers: &HeaderMap) -> Result<(), Fault> {
    if !(200..600).contains(&status.as_u16()) {
        return Err(Fault::BadResponse(format!("bad response: status {}", status.as_u16())));
    }
    for name in [header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE] {
        if headers.contains_key(&name) {
            return Err(Fault::BadResponse(format!("bad response: header {name}")));
        }
    }
    Ok(())
}

struct Gathering {
    driver: Option<Driver>,
    guest: Option<GuestBody>,
    frames: VecDeque<Frame<Bytes>>,
    bytes: u64,
    left: u64,
}

impl Gathering {
    /// Reads what is there and runs the guest on until the body is whole, the guest waits, or enough has come.
    async fn gather(&mut self) -> Result<(), Fault> {
        std::future::poll_fn(|cx| {
            let mut turns = 0;
            loop {
                match self.guest.as_mut().map(|guest| guest.poll_frame(cx)) {
                    Some(Poll::Ready(Some(Ok(frame)))) => {
                        self.take(frame)?;
                        if self.bytes > GATHER_BYTES_MAX || self.frames.len() >= GATHER_FRAMES_MAX {
                            return Poll::Ready(Ok(()));
                        }
                        turns = 0;
                        continue;
                    }
                    // Nothing was sent yet, so a body that breaks off is a call that failed.
                    Some(Poll::Ready(Some(Err(error)))) => {
                        // Why it did is what the call ends with.
                        if let Some(driver) = self.driver.take() {
                            driver.detach();
                        }
                        return Poll::Ready(Err(Fault::NoAnswer(format!("the body broke off: {error}"))));
                    }
                    Some(Poll::Ready(None)) => self.guest = None,
                    Some(Poll::Pending) | None => {}
                }
                let nothing_left = self.guest.is_none() && self.driver.is_none();
                if nothing_left || turns == TURNS_MAX {
                    return Poll::Ready(Ok(()));
                }
                turns += 1;
                match self.driver.as_mut().map(|driver| driver.poll(cx)) {
                    Some(Poll::Ready(Err(fault))) => return Poll::Ready(Err(fault)),
                    Some(Poll::Ready(Ok(()))) => self.driver = None,
                    // Where another instance's task writes the body, asking again helps nothing.
                    None => return Poll::Ready(Ok(())),
                    Some(Poll::Pending) => {}
                }
            }
        })
        .await
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Fault> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self.left.checked_sub(length).ok_or(Fault::ResponseLimit)?;
        self.bytes += length;
        self.frames.push_back(frame);
        Ok(())
    }
}
