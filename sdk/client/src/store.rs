//! The store of the namespace, table by table.

use micro_api::routes::STORE;
use micro_api::store::{Export, Import, Imported, Page, Query, Record, Write};
use reqwest::Method;
use serde::Serialize;

use crate::{Client, Result};

impl Client {
    /// Records in key order. Reading one key that is not there: 404 `not found`.
    pub async fn store_read(&self, table: &str, query: &Query) -> Result<Vec<Record>> {
        self.exchange(Method::POST, self.url(STORE, &[table, "read"]), query).await
    }

    /// Keys in order.
    pub async fn store_list(&self, table: &str, query: &Query) -> Result<Vec<String>> {
        self.exchange(Method::POST, self.url(STORE, &[table, "list"]), query).await
    }

    /// Writes a record, over what was there.
    pub async fn store_write(&self, table: &str, write: &Write) -> Result<()> {
        let request = self.request(Method::POST, self.url(STORE, &[table, "write"])).json(write);
        self.body(request).await.map(drop)
    }

    /// Deletes a key; a missing one is no error.
    pub async fn store_delete(&self, table: &str, key: &str) -> Result<()> {
        #[derive(Serialize)]
        struct Delete<'a> {
            key: &'a str,
        }
        let request = self.request(Method::POST, self.url(STORE, &[table, "delete"])).json(&Delete { key });
        self.body(request).await.map(drop)
    }

    /// A page of a table, in key order, after the last key of the page before.
    pub async fn store_export(&self, table: &str, after: Option<&str>) -> Result<Page> {
        let export = Export { after: after.map(str::to_owned) };
        self.exchange(Method::POST, self.url(STORE, &[table, "export"]), &export).await
    }

    /// Writes a batch of records. Where it fails some may be written; the same again is harmless.
    pub async fn store_import(&self, table: &str, import: &Import) -> Result<Imported> {
        self.exchange(Method::POST, self.url(STORE, &[table, "import"]), import).await
    }

    /// The databases that the caller may see.
    pub async fn store_databases(&self) -> Result<Vec<String>> {
        self.get(self.url(STORE, &["databases"])).await
    }

    /// The tables of the caller's database.
    pub async fn store_tables(&self) -> Result<Vec<String>> {
        self.get(self.url(STORE, &["tables"])).await
    }
}
