//! Blobs in memory.

mod sha256;

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use crate::Error;
use crate::blob::Info;

const ID: &str = "go.micro.blob";
const HANDLES_MAX: usize = 16;
const CHUNK_BYTES_MAX: usize = 1 << 20;
const PAGE: usize = 1_000;
const URL_SECONDS_MAX: u32 = 604_800;

#[derive(Default)]
pub(crate) struct Blobs {
    kept: BTreeMap<String, (Info, Vec<u8>)>,
    open: HashMap<u64, Open>,
    last: u64,
}

enum Open {
    Writing { info: Info, digest: Option<String>, bytes: Vec<u8> },
    Reading { bytes: Vec<u8>, at: usize },
}

fn not_open() -> Error {
    Error::bad_request(ID, "this handle is not open for that, or in use")
}

pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > 1_024 || key.chars().any(char::is_control) {
        return Err(Error::bad_request(
            ID,
            "a blob's key has 1 to 1024 bytes of UTF-8 and no control characters",
        ));
    }
    Ok(())
}

impl Blobs {
    fn handle(&mut self, open: Open) -> Result<u64, Error> {
        if self.open.len() >= HANDLES_MAX {
            return Err(Error::new(ID, 429, "an instance has at most 16 blobs open at once: close some"));
        }
        self.last += 1;
        self.open.insert(self.last, open);
        Ok(self.last)
    }

    pub(crate) fn create(
        &mut self,
        key: String,
        mut content_type: String,
        digest: Option<String>,
        public: bool,
    ) -> Result<u64, Error> {
        check_key(&key)?;
        if content_type.is_empty() {
            "application/octet-stream".clone_into(&mut content_type);
        }
        let changed = SystemTime::UNIX_EPOCH;
        let info = Info { key, size: 0, content_type, digest: String::new(), public, changed };
        self.handle(Open::Writing { info, digest, bytes: Vec::new() })
    }

    pub(crate) fn write(&mut self, handle: u64, chunk: &[u8]) -> Result<(), Error> {
        let Some(Open::Writing { bytes, .. }) = self.open.get_mut(&handle) else { return Err(not_open()) };
        if chunk.len() > CHUNK_BYTES_MAX {
            self.open.remove(&handle);
            return Err(Error::bad_request(ID, "a chunk has at most 1048576 bytes"));
        }
        bytes.extend_from_slice(chunk);
        Ok(())
    }

    pub(crate) fn finish(&mut self, handle: u64) -> Result<Info, Error> {
        let Some(Open::Writing { mut info, digest, bytes }) = self.open.remove(&handle) else {
            return Err(not_open());
        };
        info.digest = sha256::hex(&bytes);
        if digest.is_some_and(|given| !given.eq_ignore_ascii_case(&info.digest)) {
            return Err(Error::bad_request(ID, "the bytes do not have the digest that was given"));
        }
        info.size = bytes.len() as u64;
        info.changed = SystemTime::now();
        self.kept.insert(info.key.clone(), (info.clone(), bytes));
        Ok(info)
    }

    pub(crate) fn open(&mut self, key: &str, offset: u64, length: Option<u64>) -> Result<u64, Error> {
        check_key(key)?;
        let Some((info, bytes)) = self.kept.get(key) else { return Err(Error::not_found(ID, "not found")) };
        let Some(rest) = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)) else {
            return Err(Error::new(ID, 416, format!("the blob has {} bytes", info.size)));
        };
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        let bytes = rest.get(..length).unwrap_or(rest).to_vec();
        self.handle(Open::Reading { bytes, at: 0 })
    }

    pub(crate) fn read(&mut self, handle: u64, max: u32) -> Result<Vec<u8>, Error> {
        let Some(Open::Reading { bytes, at }) = self.open.get_mut(&handle) else { return Err(not_open()) };
        let rest = bytes.get(*at..).unwrap_or_default();
        let chunk = rest.get(..(max as usize).min(CHUNK_BYTES_MAX)).unwrap_or(rest).to_vec();
        *at += chunk.len();
        Ok(chunk)
    }

    pub(crate) fn close(&mut self, handle: u64) {
        self.open.remove(&handle);
    }

    pub(crate) fn stat(&self, key: &str) -> Option<Info> {
        self.kept.get(key).map(|(info, _)| info.clone())
    }

    /// As the platform's, but for a signature that nobody checks.
    pub(crate) fn url(&self, key: &str, expires_in: Option<u32>) -> Result<String, Error> {
        let Some((info, _)) = self.kept.get(key) else { return Err(Error::not_found(ID, "not found")) };
        if matches!(key, "." | "..") {
            return Err(Error::bad_request(ID, "a blob has a URL if its key is neither `.` nor `..`"));
        }
        let url = format!("http://localhost:8080/.micro/blob/test/{}", encoded(key));
        match expires_in {
            None if !info.public => {
                let detail = "this blob is not public: say for how long its URL is to be signed, or put it anew as a \
                              public one";
                Err(Error::bad_request(ID, detail))
            }
            None => Ok(url),
            Some(seconds @ 1..=URL_SECONDS_MAX) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let expires = now.as_secs() + u64::from(seconds);
                let signature = sha256::hex(format!("{key} {expires}").as_bytes());
                Ok(format!("{url}?expires={expires}&signature={signature}"))
            }
            Some(_) => {
                Err(Error::bad_request(ID, "a URL is signed for 1 to 604800 seconds, which are 7 days"))
            }
        }
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.kept.remove(key);
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Vec<Info> {
        let own = self.kept.iter().filter(|(key, _)| key.starts_with(prefix));
        let behind = own.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        behind.take(PAGE.min(limit as usize)).map(|(_, (info, _))| info.clone()).collect()
    }
}

/// The key as it stands in a URL: in one part where others would resolve what is in it.
fn encoded(key: &str) -> String {
    let plain = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let is_kept =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (plain && byte == b'/');
    let encode = |byte: u8| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    key.bytes().map(encode).collect()
}
