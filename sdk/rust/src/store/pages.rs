//! Page after page.

use super::{Range, Record, read};
use crate::Error;

/// Pages of a range, made by [`pages`].
#[derive(Debug, Clone)]
pub struct Pages {
    /// What is left; none when all was read.
    range: Option<Range>,
}

/// Reads `range` page by page, however much it holds: `limit` is the length of a page. What is written meanwhile before
/// the last page's end is not seen; nothing comes twice.
///
/// ```
/// use micro_sdk::store::{self, Range};
///
/// # micro_sdk::test::World::new().block_on(async {
/// let mut pages = store::pages(Range { prefix: Some("user/".into()), ..Range::default() });
/// while let Some(page) = pages.next().await? {
///     for record in page {
///         println!("{}", record.key);
///     }
/// }
/// # Ok::<_, micro_sdk::Error>(())
/// # })?;
/// # Ok::<_, micro_sdk::Error>(())
/// ```
pub fn pages(range: Range) -> Pages {
    Pages { range: Some(range) }
}

impl Pages {
    /// The next page, which is not empty; none when all was read.
    ///
    /// # Errors
    /// As [`read`]; the same page may be asked for again then.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, Error> {
        let Some(range) = self.range.as_mut() else { return Ok(None) };
        // A page may be shorter than was asked for: only an empty one is the end.
        let page = read(range.clone()).await?;
        if let Some(last) = page.last() {
            range.after = Some(last.key.clone());
            range.offset = 0;
            return Ok(Some(page));
        }
        self.range = None;
        Ok(None)
    }
}
