//! Configuration and secrets of the namespace.

use micro_api::config::{AtPath, Change, CloneTo, Difference, Entry, Restore, Secret, SetValue};
use micro_api::routes::CONFIG;
use reqwest::Method;

use crate::{Client, Result};

impl Client {
    /// The value at a path, secrets masked; 404 `not found`. An empty path is the whole document.
    pub async fn config_get(&self, path: &str) -> Result<Entry> {
        let mut url = self.url(CONFIG, &[]);
        url.query_pairs_mut().append_pair("path", path);
        self.get(url).await
    }

    /// Every value with its path, sorted; secrets masked.
    pub async fn config_list(&self) -> Result<Vec<Entry>> {
        self.get(self.url(CONFIG, &["list"])).await
    }

    /// Sets a value or a secret; objects are merged.
    pub async fn config_set(&self, value: &SetValue) -> Result<Change> {
        self.exchange(Method::POST, self.url(CONFIG, &["set"]), value).await
    }

    /// Deletes a value and the secrets at and below its path; a missing one is no error.
    pub async fn config_delete(&self, path: &str) -> Result<()> {
        let body = AtPath { path: path.to_owned() };
        let request = self.request(Method::POST, self.url(CONFIG, &["delete"])).json(&body);
        self.body(request).await.map(drop)
    }

    /// The text of a secret; 404 `not found` where there is none.
    pub async fn config_secret(&self, path: &str) -> Result<Secret> {
        let body = AtPath { path: path.to_owned() };
        self.exchange(Method::POST, self.url(CONFIG, &["secret"]), &body).await
    }

    /// The newest versions first; 0: all that are kept.
    pub async fn config_history(&self, limit: u32) -> Result<Vec<Change>> {
        let mut url = self.url(CONFIG, &["history"]);
        if limit > 0 {
            url.query_pairs_mut().append_pair("limit", &limit.to_string());
        }
        self.get(url).await
    }

    /// What differs between two versions. Without `to`: now; without `from`: the version before.
    pub async fn config_diff(&self, from: Option<i64>, to: Option<i64>) -> Result<Vec<Difference>> {
        let mut url = self.url(CONFIG, &["diff"]);
        for (name, version) in [("from", from), ("to", to)] {
            if let Some(version) = version {
                url.query_pairs_mut().append_pair(name, &version.to_string());
            }
        }
        self.get(url).await
    }

    /// Makes the document of `version` the current one.
    pub async fn config_restore(&self, version: i64) -> Result<Change> {
        self.exchange(Method::POST, self.url(CONFIG, &["restore"]), &Restore { version }).await
    }

    /// Makes this namespace's document that of another one.
    pub async fn config_clone(&self, to: &CloneTo) -> Result<Change> {
        self.exchange(Method::POST, self.url(CONFIG, &["clone"]), to).await
    }
}
