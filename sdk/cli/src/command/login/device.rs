//! Login by a page in a browser (RFC 8628): the command shows a code and asks until the person has typed it there.

use std::time::Duration;

use anyhow::{Result, bail};
use micro_api::auth::Token;
use micro_api::person::{DeviceCode, DeviceStart};
use micro_client::{Client, Error};
use tokio::time::{Instant, sleep};

use crate::output;

/// What `slow_down` adds to the time between two questions.
const SLOWER: Duration = Duration::from_secs(5);
/// Whatever the server says.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const LIFE_MAX: Duration = Duration::from_secs(3_600);

/// Shows the code and waits for the approval.
pub(super) async fn log_in(client: &Client) -> Result<Token> {
    let start = client.device_start().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    output::line(&format!(
        "Open {} and enter the code {}\nWaiting for your approval ...",
        output::printable(&start.verification_uri),
        output::printable(&start.user_code)
    ))?;
    let code = DeviceCode { device_code: start.device_code.clone() };
    wait(&start, async || client.device_token(&code).await).await
}

async fn wait(start: &DeviceStart, ask: impl AsyncFn() -> micro_client::Result<Token>) -> Result<Token> {
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let mut interval = seconds(start.interval).max(INTERVAL_MIN);
    let end = Instant::now() + seconds(start.expires_in).min(LIFE_MAX);
    loop {
        sleep(interval).await;
        match ask().await {
            Ok(token) => return Ok(token),
            Err(error) if says(&error, "authorization_pending") => {}
            Err(error) if says(&error, "slow_down") => interval += SLOWER,
            // The network comes back, and the code is still good.
            Err(error) if error.is_unreachable() => {}
            Err(error) => bail!("{error}"),
        }
        if Instant::now() >= end {
            bail!("the code was not entered in time: run `micro login` again for another");
        }
    }
}

fn says(error: &Error, word: &str) -> bool {
    error.api().is_some_and(|error| error.code == 400 && error.detail.contains(word))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn start(interval: i64, expires_in: i64) -> DeviceStart {
        DeviceStart { interval, expires_in, ..DeviceStart::default() }
    }

    fn refused(detail: &str) -> micro_client::Result<Token> {
        Err(Error::Api(micro_api::Error::bad_request("micro", detail)))
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_as_slowly_as_it_is_told() {
        let begun = Instant::now();
        let asked = RefCell::new(Vec::new());
        let start = start(2, 600);
        let token = wait(&start, async || {
            asked.borrow_mut().push(begun.elapsed().as_secs());
            match asked.borrow().len() {
                1 => refused("authorization_pending"),
                2 => refused("slow_down"),
                3 => Err(Error::Transport { address: "x".into(), reason: "away".into() }),
                _ => Ok(Token { access_token: "a".into(), ..Token::default() }),
            }
        });
        assert_eq!(token.await.unwrap().access_token, "a");
        assert_eq!(*asked.borrow(), [2, 4, 11, 18]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_the_code_does_or_when_it_is_refused() {
        let error = wait(&start(5, 60), async || refused("authorization_pending")).await.unwrap_err();
        assert!(error.to_string().contains("not entered in time"), "{error}");
        let error = wait(&start(0, 60), async || refused("access_denied")).await.unwrap_err();
        assert_eq!(error.to_string(), "access_denied");
    }
}
