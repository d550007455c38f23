//! Mails written to a file, for a server that serves this machine alone: the sign-up page names the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lettre::message::header::{Date, Headers};
use parking_lot::Mutex;

use super::{MailError, Mailer, Message};

/// Bytes of the file, after which it is put aside as `<name>.old` and a new one begun.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Do not follow a link in the last part of the path. Source: Linux, `asm-generic/fcntl.h`.
const O_NOFOLLOW: i32 = 0o400_000;

/// Appends each mail to one file that only its owner can read.
#[derive(Debug, Clone)]
pub(crate) struct FileMailer {
    path: PathBuf,
    /// Held while a mail is written, so that two are never mixed.
    writing: Arc<Mutex<()>>,
}

impl FileMailer {
    /// The file is made with the first mail; its folder exists.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, writing: Arc::default() }
    }

    fn append(&self, text: &str) -> io::Result<()> {
        let _writing = self.writing.lock();
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.is_file() && file.len() > FILE_BYTES_MAX) {
            fs::rename(&self.path, aside(&self.path))?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(O_NOFOLLOW);
        let mut file = options.open(&self.path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

#[async_trait]
impl Mailer for FileMailer {
    async fn send(&self, message: &Message) -> Result<(), MailError> {
        let text = format!(
            "{}\nTo: {}\nSubject: {}\n\n{}\n\n--\n",
            date_line(),
            message.to,
            super::one_line(&message.subject),
            message.text.trim_end()
        );
        let mailer = self.clone();
        let failed = |source| MailError::File { path: self.path.clone(), source };
        let written = tokio::task::spawn_blocking(move || mailer.append(&text)).await;
        written.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
    }
}

/// The time as mails write it.
fn date_line() -> String {
    let mut headers = Headers::new();
    headers.set(Date::now());
    headers.to_string().trim_end().to_owned()
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}
