//! One call to the server: a command, or a script of ours.

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, ToRedisArgs, cmd};

/// Room that a call has from the beginning: what most need, keys and a small value included.
const ARGS_USUAL: usize = 24;
const BYTES_USUAL: usize = 1_024;

/// A script that runs on the server, in one moment for everybody else.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    /// By which the server knows it once it has seen it.
    digest: String,
}

impl Script {
    /// A script of several parts, one after the other.
    pub(crate) fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let digest = ::redis::Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }
}

/// One call; made more than once where that means the same.
pub(crate) struct Call<'a> {
    cmd: Cmd,
    /// The script that it runs.
    script: Option<&'a Script>,
}

impl<'a> Call<'a> {
    /// A command as it is.
    pub(crate) fn plain(cmd: Cmd) -> Self {
        Self { cmd, script: None }
    }

    /// A script with the names of its keys.
    pub(crate) fn script(script: &'a Script, keys: &[String]) -> Self {
        let mut cmd = Cmd::with_capacity(ARGS_USUAL, BYTES_USUAL);
        cmd.arg("EVALSHA").arg(&script.digest).arg(keys.len()).arg(keys);
        Self { cmd, script: Some(script) }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.cmd.arg(arg);
        self
    }

    /// Sends it, with the script's text where the server does not know it: nothing of the script was done then.
    pub(super) async fn make<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<T> {
        let answer = self.cmd.query_async(connection).await;
        match (&answer, self.script) {
            (Err(error), Some(script)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                cmd("SCRIPT").arg("LOAD").arg(&script.text).query_async::<String>(connection).await?;
                self.cmd.query_async(connection).await
            }
            _ => answer,
        }
    }
}
