use std::time::Duration;

use micro_sdk::streaming::Replies;
use micro_sdk::{Context, Error};

use crate::{BadNeighbourHandler, Request, Response, host, memory, stream};

/// What [`BadNeighbour::huge`] answers with: 100 MB.
const HUGE: usize = 100_000_000;

pub struct BadNeighbour;

impl BadNeighbourHandler for BadNeighbour {
    async fn hello(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        body(b"Hello".to_vec())
    }

    async fn r#loop(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        memory::spin(time(&request));
        body(Vec::new())
    }

    async fn burst(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        memory::spin(Some(Duration::from_millis(5)));
        body(Vec::new())
    }

    async fn allocate(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        memory::allocate()
    }

    async fn flood(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        host::flood()
    }

    async fn log(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        host::log()
    }

    async fn recurse(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        body(memory::recurse(0).to_le_bytes().to_vec())
    }

    async fn trap(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        memory::trap()
    }

    async fn sleep(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        micro_sdk::time::sleep(time(&request).unwrap_or(Duration::from_secs(3_600))).await;
        body(Vec::new())
    }

    async fn block(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        host::block(time(&request).unwrap_or(Duration::from_secs(3_600)));
        body(Vec::new())
    }

    async fn huge(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        body(vec![7; HUGE])
    }

    async fn outbound(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        let url = if request.url.is_empty() { "http://localhost:9/" } else { &request.url };
        let failed = host::outbound(url).await;
        Ok(Response { failed, ..Response::default() })
    }

    async fn calls(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        let failed = host::calls().await;
        Ok(Response { failed, ..Response::default() })
    }

    async fn torrent(
        &self,
        _ctx: &Context,
        request: Request,
        replies: Replies<Response>,
    ) -> Result<(), Error> {
        stream::torrent(time(&request).unwrap_or(Duration::from_millis(500)), &replies).await
    }

    async fn deaf(&self, _ctx: &Context, _request: Request, replies: Replies<Response>) -> Result<(), Error> {
        stream::deaf(&replies).await
    }

    async fn overflow(
        &self,
        _ctx: &Context,
        _request: Request,
        replies: Replies<Response>,
    ) -> Result<(), Error> {
        replies.send(&Response::default()).await?;
        replies.send(&Response { body: vec![7; HUGE], failed: 0 }).await
    }

    async fn streams(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        Ok(Response { failed: stream::open().await, ..Response::default() })
    }

    async fn tables(&self, _ctx: &Context, _request: Request) -> Result<Response, Error> {
        host::tables()
    }
}

fn body(body: Vec<u8>) -> Result<Response, Error> {
    Ok(Response { body, failed: 0 })
}

/// The time asked for; none when it is for ever.
fn time(request: &Request) -> Option<Duration> {
    let milliseconds = Some(request.milliseconds).filter(|&milliseconds| milliseconds > 0)?;
    Some(Duration::from_millis(milliseconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(milliseconds: u32) -> Request {
        Request { milliseconds, ..Request::default() }
    }

    #[micro_sdk::test]
    async fn what_ends_by_itself_answers() -> Result<(), Error> {
        let context = Context::default();
        assert_eq!(BadNeighbour.hello(&context, milliseconds(0)).await?.body, b"Hello");
        BadNeighbour.r#loop(&context, milliseconds(1)).await?;
        BadNeighbour.burst(&context, milliseconds(0)).await?;
        BadNeighbour.sleep(&context, milliseconds(1)).await?;
        BadNeighbour.block(&context, milliseconds(1)).await?;
        assert_eq!(BadNeighbour.huge(&context, milliseconds(0)).await?.body.len(), HUGE);
        Ok(())
    }

    #[micro_sdk::test]
    #[should_panic(expected = "the neighbour panics")]
    async fn a_trap_is_a_panic() {
        let _ = BadNeighbour.trap(&Context::default(), milliseconds(0)).await;
    }
}
