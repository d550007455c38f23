//! The scripts of events.

use crate::redis::Script;

/// The clock of the server.
pub(super) const CLOCK: &str = include_str!("clock.lua");
const COMMON: &str = include_str!("common.lua");
/// Where the memory is full, what is there is still consumed: that takes little, and nothing that stays.
const CONSUMES: &str = "#!lua flags=allow-oom\n";

/// One script a kind of call.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) read: Script,
    pub(super) take: Script,
    pub(super) ack: Script,
    pub(super) refuse: Script,
    pub(super) topics: Script,
    pub(super) groups: Script,
    pub(super) held: Script,
    pub(super) trim: Script,
    pub(super) forget: Script,
    pub(super) pulse: Script,
}

impl Scripts {
    /// With the lines that say what time it is.
    pub(super) fn new(clock: &str) -> Self {
        let script = |own: &str| Script::new(&[clock, COMMON, own]);
        let consumes = |own: &str| Script::new(&[CONSUMES, clock, COMMON, own]);
        Self {
            append: script(include_str!("append.lua")),
            read: script(include_str!("read.lua")),
            take: consumes(include_str!("take.lua")),
            ack: script(include_str!("ack.lua")),
            refuse: consumes(include_str!("refuse.lua")),
            topics: script(include_str!("topics.lua")),
            groups: script(include_str!("groups.lua")),
            held: script("return tonumber(redis.call('HGET', state, 'held') or '0')\n"),
            trim: consumes(include_str!("trim.lua")),
            forget: consumes(include_str!("forget.lua")),
            pulse: consumes("return redis.call('SET', nodes .. ARGV[2], '', 'PX', ARGV[3])\n"),
        }
    }
}
