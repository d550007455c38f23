//! What a build printed.

use std::time::Instant;

use micro_api::logs::LogRecord;

use crate::jobs::BuildJob;
use crate::query::query;
use crate::row::{decode, encode};
use crate::{Db, Error, now_ms};

/// Bytes of messages kept of one build; the rest is dropped and the log says so.
pub const BUILD_LOG_BYTES_MAX: i64 = 1024 * 1024;
/// Lines kept of one build. A line costs a row, however short it is.
pub const BUILD_LOG_LINES_MAX: i64 = 16 * 1024;
/// Bytes of one line.
pub const LINE_BYTES_MAX: usize = 8 * 1024;
/// Lines and bytes written in one transaction: others write between two of them.
const BATCH_LINES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 256 * 1024;

impl Db {
    /// Adds lines to the build log of a job. Lines above [`LINE_BYTES_MAX`] are cut, lines past
    /// [`BUILD_LOG_BYTES_MAX`] and [`BUILD_LOG_LINES_MAX`] dropped.
    pub async fn append_build_log(&self, job: &BuildJob, lines: Vec<LogRecord>) -> Result<(), Error> {
        let mut lines = lines.into_iter().peekable();
        while lines.peek().is_some() {
            let started = Instant::now();
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < BATCH_LINES_MAX && bytes < BATCH_BYTES_MAX {
                let Some(mut line) = lines.next() else { break };
                cut(&mut line.message);
                bytes += line.message.len();
                batch.push(line);
            }
            if self.append_batch(job, batch).await? == Room::None {
                break;
            }
            if lines.peek().is_some() {
                // Half of the time belongs to the others: SQLite's writers of other processes do not queue.
                tokio::time::sleep(started.elapsed()).await;
            }
        }
        Ok(())
    }

    async fn append_batch(&self, job: &BuildJob, lines: Vec<LogRecord>) -> Result<Room, Error> {
        let (mut tx, held) = self.held_by(job).await?;
        let mut bytes = held.record().log_bytes;
        let mut seq = next_seq(&mut tx, &job.deployment).await?;
        let room = |bytes: i64, seq: i64| {
            if bytes < BUILD_LOG_BYTES_MAX && seq < BUILD_LOG_LINES_MAX { Room::Some } else { Room::None }
        };
        if room(bytes, seq) == Room::None {
            return Ok(Room::None);
        }
        for mut line in lines {
            if room(bytes, seq) == Room::None {
                break;
            }
            bytes += i64::try_from(line.message.len()).unwrap_or(i64::MAX) + 1;
            let end = if bytes >= BUILD_LOG_BYTES_MAX {
                Some(format!("{BUILD_LOG_BYTES_MAX} bytes"))
            } else if seq + 1 >= BUILD_LOG_LINES_MAX {
                Some(format!("{BUILD_LOG_LINES_MAX} lines"))
            } else {
                None
            };
            if let Some(bound) = end {
                line.message = format!("the build log ends here: it is longer than {bound}");
                line.timestamp = now_ms();
            }
            query("build_log.insert", "INSERT INTO build_log (deployment, seq, record) VALUES ($1, $2, $3)")
                .bind(&job.deployment)
                .bind(seq)
                .bind(encode("log record", &line)?)
                .execute(&mut tx)
                .await?;
            seq += 1;
        }
        let state = held.state();
        held.step(&mut tx, state, |record| record.log_bytes = bytes).await?;
        tx.commit().await?;
        Ok(room(bytes, seq))
    }

    /// The lines of a deployment's build from `from` on, at most `limit`, oldest first, and the number to go on from.
    pub async fn build_log(
        &self,
        deployment: &str,
        from: i64,
        limit: i64,
    ) -> Result<(Vec<LogRecord>, i64), Error> {
        let rows = query(
            "build_log.read",
            "SELECT seq, record FROM build_log WHERE deployment = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
        );
        let rows = rows.bind(deployment).bind(from).bind(limit).read_all::<(i64, String)>(self).await?;
        let next = rows.last().map_or(from, |(seq, _)| seq + 1);
        let lines = rows.iter().map(|(_, record)| decode("log record", record)).collect::<Result<_, _>>()?;
        Ok((lines, next))
    }

    /// How many lines a deployment's build log has.
    pub async fn build_log_lines(&self, deployment: &str) -> Result<i64, Error> {
        let next = query("build_log.lines", "SELECT COUNT(*) FROM build_log WHERE deployment = $1");
        Ok(next.bind(deployment).read_first::<(i64,)>(self).await?.map_or(0, |(count,)| count))
    }
}

/// Whether a log takes more lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Some,
    None,
}

async fn next_seq(tx: &mut crate::dialect::Tx, deployment: &str) -> Result<i64, Error> {
    let next =
        query("build_log.next", "SELECT COALESCE(MAX(seq) + 1, 0) FROM build_log WHERE deployment = $1");
    Ok(next.bind(deployment).first::<(i64,)>(tx).await?.map_or(0, |(count,)| count))
}

/// Cuts a line at a character border.
fn cut(line: &mut String) {
    if line.len() > LINE_BYTES_MAX {
        let end = (0..=LINE_BYTES_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        line.truncate(end);
    }
    // PostgreSQL's TEXT holds no NUL; JSON escapes it, but a reader gains nothing from it either.
    line.retain(|character| character != '\0');
}
