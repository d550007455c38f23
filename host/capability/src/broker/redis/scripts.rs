//! The broker's scripts.

use crate::redis::Script;

const COMMON: &str = include_str!("common.lua");
const CLOCK: &str = include_str!("clock.lua");

/// One script a kind of call.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) subscribe: Script,
    pub(super) unsubscribe: Script,
    pub(super) publish: Script,
    pub(super) claim: Script,
    pub(super) release: Script,
    pub(super) ack: Script,
    pub(super) nack: Script,
    pub(super) unheard: Script,
    pub(super) bury: Script,
    pub(super) groups: Script,
    pub(super) dead: Script,
    pub(super) redrive: Script,
    pub(super) discard: Script,
    pub(super) sweep: Script,
    pub(super) renew: Script,
}

impl Scripts {
    /// By the server's clock.
    pub(super) fn new() -> Self {
        Self::by(CLOCK)
    }

    /// By a clock of a test's own.
    pub(super) fn by(clock: &str) -> Self {
        let script = |own: &str| Script::new(&[clock, COMMON, own]);
        Self {
            subscribe: script(include_str!("subscribe.lua")),
            unsubscribe: script(include_str!("unsubscribe.lua")),
            publish: script(include_str!("publish.lua")),
            claim: script(include_str!("claim.lua")),
            release: script(include_str!("release.lua")),
            ack: script(include_str!("ack.lua")),
            nack: script(include_str!("nack.lua")),
            unheard: script(include_str!("unheard.lua")),
            bury: script(include_str!("bury.lua")),
            groups: script(include_str!("groups.lua")),
            dead: script(include_str!("dead.lua")),
            redrive: script(include_str!("redrive.lua")),
            discard: script(include_str!("discard.lua")),
            sweep: script(include_str!("sweep.lua")),
            renew: script(include_str!("renew.lua")),
        }
    }
}
