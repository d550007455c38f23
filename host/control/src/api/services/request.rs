//! What `run` and `update` share: the limits of a request.

use micro_api::Error;
use micro_api::deployment::{RunRequest, Source};

use super::ID;

/// Characters of a URL, a folder, a reference or the source as given.
const TEXT_MAX: usize = 4 * 1024;
const VERSION_MAX: usize = 200;
/// Environment variables, and arguments.
const LIST_MAX: usize = 256;
/// Bytes of environment and arguments together.
const LIST_BYTES_MAX: usize = 64 * 1024;
const RETRIES_MAX: u32 = 100;

/// Refuses what no later stage should have to think about. Whether a URL is a good one is the builder's question.
pub(super) fn check(request: &RunRequest) -> Result<(), Error> {
    let refuse = |detail: &str| Err(Error::bad_request(ID, detail));
    let texts = match &request.source {
        Source::Git { url, folder, reference } => vec![url, folder, reference],
        Source::Upload { upload, folder } => {
            if uuid::Uuid::try_parse(upload).is_err() {
                return refuse("the source names no upload");
            }
            vec![folder]
        }
    };
    let given = [&request.source_given];
    if texts.into_iter().chain(given).any(|text| text.len() > TEXT_MAX || text.contains(char::is_control)) {
        return refuse("the source is longer than 4096 bytes or holds control characters");
    }
    let version = &request.version;
    if version.is_empty()
        || version.len() > VERSION_MAX
        || version.contains(|c: char| c.is_control() || c == ' ')
    {
        return refuse("the version must have 1 to 200 characters, no spaces or control characters");
    }
    let env = request.env.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    let args = request.args.iter().map(String::len).sum::<usize>();
    if request.env.len() > LIST_MAX || request.args.len() > LIST_MAX || env + args > LIST_BYTES_MAX {
        return refuse("at most 256 environment variables and 256 arguments, 64 KiB in all");
    }
    if request
        .env
        .iter()
        .any(|(key, value)| key.is_empty() || key.contains(['=', '\0']) || value.contains('\0'))
    {
        return refuse("a name of an environment variable is empty or holds `=`");
    }
    if request.retries > RETRIES_MAX {
        return refuse("at most 100 retries");
    }
    Ok(())
}
