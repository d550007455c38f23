//! Writes that are under way. What one says of its table's size may miss another that runs beside it, so the last of
//! several reads the size once more.

use std::collections::HashMap;
use std::future::Future;

use parking_lot::Mutex;

use super::books::Books;
use super::{Error, TableKey};

/// By the table that they are to.
#[derive(Debug, Default)]
pub(crate) struct Writes(Mutex<HashMap<TableKey, OfTable>>);

#[derive(Debug, Default)]
struct OfTable {
    count: usize,
    /// More than one ran at once, and none has read the size since.
    several: bool,
}

impl Writes {
    fn begin<'a>(&'a self, table: &'a TableKey) -> UnderWay<'a> {
        let mut writes = self.0.lock();
        let of_table = writes.entry(table.clone()).or_default();
        of_table.count += 1;
        of_table.several |= of_table.count > 1;
        UnderWay { writes: self, table }
    }

    /// Makes a write, whose answer ends with what the table holds then, and tells the books; less than 0: nothing
    /// changed. `size` reads what the table holds.
    pub(crate) async fn counted<T, E: Into<Error>>(
        &self,
        books: &Books,
        table: &TableKey,
        write: impl Future<Output = Result<(T, i64), E>>,
        size: impl Future<Output = Result<i64, Error>>,
    ) -> Result<T, Error> {
        let under_way = self.begin(table);
        let written = write.await;
        if under_way.is_alone() {
            if let Ok((_, bytes @ 0..)) = written {
                note(books, table, bytes);
            }
        } else if under_way.is_last_of_several() {
            let bytes = size.await?;
            if under_way.is_alone() {
                note(books, table, bytes);
            }
        }
        written.map(|(done, _)| done).map_err(Into::into)
    }

    /// Tables with several writes at once.
    pub(crate) fn of_several(&self) -> Vec<TableKey> {
        let writes = self.0.lock();
        writes.iter().filter(|(_, writes)| writes.several).map(|(table, _)| table.clone()).collect()
    }
}

/// One write; counted until it is dropped.
struct UnderWay<'a> {
    writes: &'a Writes,
    table: &'a TableKey,
}

impl UnderWay<'_> {
    /// No other write ran beside this one.
    fn is_alone(&self) -> bool {
        self.writes.0.lock().get(self.table).is_none_or(|writes| !writes.several)
    }

    /// Others did, and all have ended; from now on it is alone until the next begins.
    fn is_last_of_several(&self) -> bool {
        let mut writes = self.writes.0.lock();
        let Some(of_table) = writes.get_mut(self.table).filter(|writes| writes.count == 1) else {
            return false;
        };
        of_table.several = false;
        true
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut writes = self.writes.0.lock();
        if let Some(of_table) = writes.get_mut(self.table) {
            of_table.count -= 1;
            if of_table.count == 0 {
                writes.remove(self.table);
            }
        }
    }
}

/// Tells the books what a table holds.
pub(crate) fn note(books: &Books, table: &TableKey, bytes: i64) {
    books.note(table.namespace(), table.table().to_owned(), u64::try_from(bytes).unwrap_or(0));
}
