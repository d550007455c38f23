//! What a namespace's file is asked, and who waits for it.

use micro_api::name::Namespace;

use super::file::EventFile;
use crate::events::Error;
use crate::sqlite::{Asker, Kind};

/// What is done to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It reads a few events.
    Glance,
    Read,
    Change,
    /// It changes, and is made where there is none.
    Create,
}

impl Access {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Glance => Kind::Glance,
            Self::Read => Kind::Read,
            Self::Change | Self::Create => Kind::Write,
        }
    }
}

pub(crate) struct Task {
    pub(crate) namespace: Namespace,
    pub(crate) access: Access,
    pub(crate) job: Box<dyn Job>,
}

/// Work on a file, which may be done again where it was undone; its asker hears of the last time.
pub(crate) trait Job: Send {
    fn work(&mut self, file: Result<Option<&mut EventFile>, Error>);

    /// What came of it lets doubt the file itself.
    fn is_broken(&self) -> bool;

    fn tell(self: Box<Self>);
}

/// See [`Job`].
pub(crate) struct Asked<R, W> {
    work: W,
    result: Result<R, Error>,
    asker: Asker<Result<R, Error>>,
}

impl<R, W> Asked<R, W> {
    pub(crate) fn new(work: W, asker: Asker<Result<R, Error>>) -> Self {
        Self { work, result: Err(super::stopped()), asker }
    }
}

impl<R: Send, W: FnMut(Option<&mut EventFile>) -> Result<R, Error> + Send> Job for Asked<R, W> {
    fn work(&mut self, file: Result<Option<&mut EventFile>, Error>) {
        self.result = file.and_then(&mut self.work);
    }

    fn is_broken(&self) -> bool {
        matches!(self.result, Err(Error::Backend(_)))
    }

    fn tell(self: Box<Self>) {
        self.asker.tell(self.result);
    }
}
