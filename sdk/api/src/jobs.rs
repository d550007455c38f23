//! Schedules and their runs over `/v1/jobs`.

use serde::{Deserialize, Serialize};

use crate::manifest::{Missed, Overlap};

/// A schedule of a service that runs, as `GET /v1/jobs` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Schedule {
    pub service: String,
    pub version: String,
    pub name: String,
    /// As it stands in `micro.toml`.
    pub cron: String,
    pub zone: String,
    /// `Service.Method`; empty of a job, which is started.
    pub endpoint: String,
    pub jitter_ms: i64,
    pub overlap: Overlap,
    pub missed: Missed,
    pub retry: bool,
    /// The next tick, without jitter, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
    /// What became of the newest tick, or the newest run by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Run>,
}

/// What became of a tick, or a run by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Run {
    /// Also the request id of the call, so it marks the lines that the call logs.
    pub id: String,
    pub service: String,
    pub version: String,
    /// The schedule's name.
    pub schedule: String,
    /// The tick, Unix milliseconds; when it was asked for, of a run by hand.
    pub tick_ms: i64,
    pub state: RunState,
    /// Somebody asked for it.
    pub by_hand: bool,
    /// How often it was begun: more than once only with `retry`.
    pub attempts: i64,
    /// The node that began it last.
    pub node: String,
    pub started_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// Why it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Running,
    /// The endpoint answered.
    Ok,
    /// The endpoint answered an error, or could not be called.
    Failed,
    /// Its node ended while it ran.
    Lost,
    /// It was not begun: the run before it was still under way, or a budget of the month was used up.
    Skipped,
}

impl RunState {
    const ALL: [Self; 5] = [Self::Running, Self::Ok, Self::Failed, Self::Lost, Self::Skipped];

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
        }
    }

    /// The other way round.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// `POST /v1/jobs/run`. 409 when the run before is still under way and the schedule does not allow two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    pub service: String,
    /// `latest` when absent, or the only one that has the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The schedule's name; the only one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_in_json() {
        for state in RunState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(RunState::parse(state.as_str()), Some(state));
        }
        assert_eq!(RunState::parse("done"), None);
    }
}
