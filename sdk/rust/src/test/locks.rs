//! Locks in memory. A test has one thread: nobody could release a lock while another waits for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::with_state;
use crate::Error;
use crate::sync::Held;

const ID: &str = "go.micro.sync";
const HELD_MAX: usize = 1000;

#[derive(Default)]
pub(crate) struct Locks {
    held: HashMap<String, Kept>,
    /// The last that was given.
    fence: u64,
}

struct Kept {
    token: String,
    holder: Option<String>,
    expires: Instant,
}

/// Takes a lock; sleeps for as long as it takes to expire, if that is within the wait.
pub(crate) fn take(
    name: String,
    holder: Option<String>,
    ttl: Duration,
    wait: Duration,
) -> Result<Held, Error> {
    check_name(&name)?;
    holder.as_deref().map_or(Ok(()), check_name)?;
    let expires = expiry(ttl)?;
    let left = with_state(|state| state.locks.live(&name).map(|kept| kept.expires - Instant::now()));
    match left {
        Some(left) if left > wait => return Err(Error::timeout(ID, "lock timeout")),
        Some(left) => std::thread::sleep(left),
        None => {}
    }
    let waited = left.unwrap_or_default();
    with_state(|state| state.locks.insert(name, holder, expires + waited, ttl))
}

impl Locks {
    fn live(&mut self, name: &str) -> Option<&mut Kept> {
        let now = Instant::now();
        self.held.get_mut(name).filter(|kept| kept.expires > now)
    }

    fn insert(
        &mut self,
        name: String,
        holder: Option<String>,
        expires: Instant,
        ttl: Duration,
    ) -> Result<Held, Error> {
        let now = Instant::now();
        self.held.retain(|_, kept| kept.expires > now);
        if self.held.len() >= HELD_MAX {
            return Err(Error::new(
                ID,
                429,
                "the namespace holds 1 000 locks: release one, or let it expire",
            ));
        }
        self.fence += 1;
        let token = format!("token {}", self.fence);
        self.held.insert(name, Kept { token: token.clone(), holder, expires });
        Ok(Held { token, fence: self.fence, left: ttl })
    }

    pub(crate) fn renew(&mut self, name: &str, token: &str, ttl: Duration) -> Result<bool, Error> {
        check_name(name)?;
        let expires = expiry(ttl)?;
        let kept = self.live(name).filter(|kept| kept.token == token);
        Ok(kept.map(|kept| kept.expires = expires).is_some())
    }

    pub(crate) fn release(&mut self, name: &str, token: &str) -> Result<bool, Error> {
        check_name(name)?;
        let holds = self.live(name).is_some_and(|kept| kept.token == token);
        if holds {
            self.held.remove(name);
        }
        Ok(holds)
    }

    pub(crate) fn leader(&mut self, name: &str) -> Result<Option<String>, Error> {
        check_name(name)?;
        Ok(self.live(name).and_then(|kept| kept.holder.clone()))
    }

    pub(crate) fn expire_all(&mut self) {
        self.held.clear();
    }
}

fn expiry(ttl: Duration) -> Result<Instant, Error> {
    let allowed = Duration::from_secs(1)..=Duration::from_secs(3_600);
    if !allowed.contains(&ttl) {
        return Err(Error::bad_request(ID, "a lock lives 1 000 to 3 600 000 ms"));
    }
    Ok(Instant::now() + ttl)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(Error::bad_request(ID, "a name or an id has 1 to 256 bytes and no control characters"));
    }
    Ok(())
}
