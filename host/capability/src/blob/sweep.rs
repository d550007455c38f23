//! Removes bytes that belong to no blob.

use std::time::Duration;

use super::{Blobs, Error, PAGE_ROWS_MAX};
use crate::context::unix_ms;

/// Bytes without a row are left for so long: the row of an upload that just ended may be on its way.
pub const ORPHAN_AGE: Duration = Duration::from_secs(60 * 60);

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that no row names.
    pub objects: usize,
    /// Uploads that never ended.
    pub uploads: usize,
}

impl Blobs {
    /// Removes objects of no row and uploads that never ended, once they are `age` old: [`ORPHAN_AGE`], but in tests.
    ///
    /// # Errors
    /// The backend's; what was removed until then is gone.
    pub async fn sweep(&self, age: Duration) -> Result<Swept, Error> {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let before_ms = unix_ms().saturating_sub(age_ms);
        let mut swept = Swept { uploads: self.objects.clear_unfinished(before_ms).await?, objects: 0 };
        let mut after = None;
        loop {
            let page = self.objects.list(after.as_ref(), PAGE_ROWS_MAX).await?;
            let Some(last) = page.last() else { return Ok(swept) };
            after = Some(last.id.clone());
            let old = page.into_iter().filter(|found| found.finished_ms <= before_ms);
            let old: Vec<_> = old.map(|found| found.id).collect();
            for id in self.catalog.unnamed(&old).await? {
                self.objects.delete(&id).await?;
                swept.objects += 1;
            }
        }
    }
}
