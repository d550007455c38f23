//! Schedules of the namespace, and their runs.

use micro_api::jobs::{Run, Schedule, Start};
use micro_api::routes::JOBS;
use reqwest::Method;

use crate::{Client, Result};

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only of this service.
    pub service: Option<String>,
    /// Only of this version.
    pub version: Option<String>,
    /// Only of this schedule.
    pub schedule: Option<String>,
    /// At most so many, and 1 000; 0 is the server's default.
    pub limit: u64,
}

impl Client {
    /// The schedules of what runs, or of one service.
    pub async fn jobs(&self, service: Option<&str>) -> Result<Vec<Schedule>> {
        let mut url = self.url(JOBS, &[]);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        self.get(url).await
    }

    /// Runs a schedule now, without waiting for its end. 409 when the run before is still under way.
    pub async fn jobs_run(&self, start: &Start) -> Result<Run> {
        self.exchange(Method::POST, self.url(JOBS, &["run"]), start).await
    }

    /// What became of runs, newest first.
    pub async fn jobs_runs(&self, query: &RunQuery) -> Result<Vec<Run>> {
        let mut url = self.url(JOBS, &["runs"]);
        {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("limit", &query.limit.to_string());
            for (key, value) in
                [("service", &query.service), ("version", &query.version), ("schedule", &query.schedule)]
            {
                if let Some(value) = value {
                    pairs.append_pair(key, value);
                }
            }
        }
        self.get(url).await
    }
}
