use std::time::Duration;

use micro_sdk::{Context, Error, store};

use crate::LimiterHandler;
use crate::{Request, Response};

const LIMIT: u32 = 10;
const WINDOW_MS: u32 = 60_000;

pub struct Limiter;

impl LimiterHandler for Limiter {
    async fn allow(&self, _ctx: &Context, request: Request) -> Result<Response, Error> {
        if request.key.is_empty() || request.key.len() > 512 {
            return Err(Error::bad_request("limiter", "key has 1 to 512 bytes"));
        }
        let limit = or(request.limit, LIMIT);
        let window = Duration::from_millis(or(request.window_ms, WINDOW_MS).into());
        let key = format!("window/{}", request.key);
        // One step, however many ask at once. The first of a window makes the record, which
        // ends the window by expiring.
        let count = store::increment_for(&key, 1, window).await?;
        let left = i64::from(limit) - count;
        if left >= 0 {
            let left = u32::try_from(left).unwrap_or(0);
            return Ok(Response {
                allowed: true,
                left,
                retry_ms: 0,
            });
        }
        let expiry = store::get(&key).await?.and_then(|record| record.expiry);
        let retry_ms = expiry.map_or(0, |left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX));
        Ok(Response {
            allowed: false,
            left: 0,
            retry_ms,
        })
    }
}

fn or(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    fn request(key: &str, limit: u32, window_ms: u32) -> Request {
        Request {
            key: key.into(),
            limit,
            window_ms,
        }
    }

    async fn allow(request: Request) -> Result<Response, Error> {
        Limiter.allow(&Context::default(), request).await
    }

    #[micro_sdk::test]
    async fn it_takes_as_many_as_the_limit_says() -> Result<(), Error> {
        World::new();
        for left in [2, 1, 0] {
            let response = allow(request("jane", 3, 0)).await?;
            assert!(response.allowed);
            assert_eq!(response.left, left);
        }
        let refused = allow(request("jane", 3, 0)).await?;
        assert!(!refused.allowed);
        assert!(refused.retry_ms > 0 && refused.retry_ms <= WINDOW_MS);
        assert!(allow(request("john", 3, 0)).await?.allowed);
        Ok(())
    }

    #[micro_sdk::test]
    async fn it_starts_anew_when_the_window_is_over() -> Result<(), Error> {
        World::new();
        assert!(allow(request("jane", 1, 50)).await?.allowed);
        let refused = allow(request("jane", 1, 50)).await?;
        micro_sdk::time::sleep(Duration::from_millis(u64::from(refused.retry_ms) + 1)).await;
        assert!(allow(request("jane", 1, 50)).await?.allowed);
        Ok(())
    }

    #[micro_sdk::test]
    async fn it_needs_a_key() -> Result<(), Error> {
        World::new();
        assert_eq!(allow(request("", 1, 0)).await.expect_err("no key").code, 400);
        Ok(())
    }
}
