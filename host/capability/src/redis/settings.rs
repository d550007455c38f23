//! What the server's settings are worth: some are refused, some only told.

use std::collections::HashMap;

use ::redis::cmd;

use super::{Call, Failure, Redis};

/// The oldest server whose commands are enough.
const OLDEST: (u32, u32) = (7, 0);

/// What a server says of itself.
#[derive(Debug, Default)]
struct Settings {
    info: HashMap<String, String>,
    /// `appendfsync`; none: the user may not read it.
    appendfsync: Option<String>,
}

pub(super) async fn check(redis: &Redis) -> Result<(), Failure> {
    let info: String = redis.retried(&Call::plain(cmd("INFO"))).await.map_err(|failure| match failure {
        Failure::Wrong(text) if text.contains("NOPERM") || text.contains("permission") => {
            Failure::Wrong(format!(
                "the user may not read what the server is, and so whether it keeps what it is given: allow +info ({text})"
            ))
        }
        other => other,
    })?;
    let mut read = cmd("CONFIG");
    read.arg("GET").arg("appendfsync");
    let appendfsync = match redis.retried::<HashMap<String, String>>(&Call::plain(read)).await {
        Ok(mut found) => found.remove("appendfsync"),
        Err(Failure::Wrong(_)) => None,
        Err(other) => return Err(other),
    };
    let settings = Settings { info: parse(&info), appendfsync };
    settings.refuse().map_or(Ok(()), |reason| Err(Failure::Wrong(reason)))?;
    for weaker in settings.weaker() {
        tracing::warn!("Redis keeps less than it could: {weaker}");
    }
    Ok(())
}

fn parse(info: &str) -> HashMap<String, String> {
    let lines = info.lines().filter_map(|line| line.trim().split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Settings {
    fn says(&self, name: &str) -> &str {
        self.info.get(name).map_or("", String::as_str)
    }

    /// Why nothing that must not be lost may be put here.
    fn refuse(&self) -> Option<String> {
        let mut version = self.says("redis_version").split('.').map(|part| part.parse().unwrap_or(0));
        let version = (version.next().unwrap_or(0), version.next().unwrap_or(0));
        if version < OLDEST {
            let (found, (major, minor)) = (self.says("redis_version"), OLDEST);
            return Some(format!("the server is Redis {found}: {major}.{minor} or newer is needed"));
        }
        if self.says("role") != "master" {
            let role = self.says("role");
            return Some(format!("the server is a replica (its role is `{role}`): name the primary"));
        }
        if self.says("cluster_enabled") == "1" {
            return Some("the server is part of a Redis Cluster, which is not supported".to_owned());
        }
        let policy = self.says("maxmemory_policy");
        (policy != "noeviction").then(|| {
            format!(
                "the server has `maxmemory-policy {policy}`, so it may throw records away when its memory is full: set \
                 `maxmemory-policy noeviction`"
            )
        })
    }

    /// Which guarantees are weaker than they could be.
    fn weaker(&self) -> Vec<&'static str> {
        let mut weaker = Vec::new();
        if self.says("aof_enabled") != "1" {
            weaker.push(
                "without `appendonly yes` it loses what was acknowledged since its last snapshot whenever it ends",
            );
            return weaker;
        }
        match self.appendfsync.as_deref() {
            Some("always") => {}
            Some("no") => weaker.push(
                "with `appendfsync no` a power failure takes what was acknowledged since the kernel last wrote it out; \
                 set `appendfsync always`",
            ),
            Some(_) => weaker.push(
                "without `appendfsync always` a power failure takes what was acknowledged in its last second or two",
            ),
            None => weaker.push(
                "the user may not read `appendfsync` (allow `+config|get`), so whether a power failure takes what was \
                 acknowledged is not known",
            ),
        }
        weaker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(info: &str, appendfsync: Option<&str>) -> Settings {
        let base = "# Server\r\nredis_version:7.2.4\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n\
                    cluster_enabled:0\r\naof_enabled:1\r\n";
        let mut all = parse(base);
        all.extend(parse(info));
        Settings { info: all, appendfsync: appendfsync.map(str::to_owned) }
    }

    #[test]
    fn a_server_that_keeps_nothing_is_refused() {
        assert_eq!(settings("", None).refuse(), None);
        for (info, reason) in [
            ("maxmemory_policy:allkeys-lru", "`maxmemory-policy allkeys-lru`"),
            ("maxmemory_policy:volatile-ttl", "noeviction"),
            ("role:slave", "replica"),
            ("cluster_enabled:1", "Cluster"),
            ("redis_version:6.2.14", "7.0 or newer"),
        ] {
            let refused = settings(info, None).refuse().unwrap();
            assert!(refused.contains(reason), "{refused}");
        }
        assert_eq!(settings("redis_version:10.0.0", None).refuse(), None);
    }

    #[test]
    fn what_is_weaker_is_told() {
        assert_eq!(settings("", Some("always")).weaker(), Vec::<&str>::new());
        for (info, appendfsync, told) in [
            ("", Some("everysec"), "without `appendfsync always`"),
            ("", Some("no"), "with `appendfsync no`"),
            ("", None, "may not read `appendfsync`"),
            ("aof_enabled:0", Some("always"), "without `appendonly yes`"),
        ] {
            let weaker = settings(info, appendfsync).weaker();
            assert!(weaker.len() == 1 && weaker[0].contains(told), "{weaker:?}");
        }
    }
}
