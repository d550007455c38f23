//! The store's scripts.

use crate::redis::Script;

const COMMON: &str = include_str!("common.lua");

/// One script a kind of call.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) get: Script,
    pub(super) put: Script,
    pub(super) remove: Script,
    pub(super) add: Script,
    pub(super) commit: Script,
    pub(super) window: Script,
    pub(super) size: Script,
    pub(super) due: Script,
    pub(super) sweep: Script,
    pub(super) lives: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |own: &str| Script::new(&[COMMON, own]);
        Self {
            get: script(include_str!("get.lua")),
            put: script(include_str!("put.lua")),
            remove: script(include_str!("remove.lua")),
            add: script(include_str!("add.lua")),
            commit: script(include_str!("commit.lua")),
            window: script(include_str!("window.lua")),
            size: script("return count(0)\n"),
            due: script(include_str!("due.lua")),
            sweep: script(include_str!("sweep.lua")),
            lives: script(include_str!("lives.lua")),
        }
    }
}
