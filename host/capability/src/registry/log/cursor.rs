//! A place in the log, as watchers keep it. They must not read it.

use std::fmt;
use std::str::FromStr;

/// After a change, or within the list of all that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) epoch: u64,
    /// The last change that was told, or that is in the list.
    pub(super) revision: u64,
    pub(super) at: At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// The list begins.
    Beginning,
    /// After this name and version in the list.
    After(String, String),
    /// The list is over.
    End,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.revision)?;
        match &self.at {
            At::Beginning => f.write_str("-"),
            // No name has a slash.
            At::After(name, version) => write!(f, "-{name}/{version}"),
            At::End => Ok(()),
        }
    }
}

impl FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let epoch = parts.next().and_then(|epoch| u64::from_str_radix(epoch, 16).ok()).ok_or(())?;
        let revision = parts.next().and_then(|revision| revision.parse().ok()).ok_or(())?;
        let at = match parts.next() {
            None => At::End,
            Some("") => At::Beginning,
            Some(rest) => {
                let (name, version) = rest.split_once('/').ok_or(())?;
                At::After(name.to_owned(), version.to_owned())
            }
        };
        Ok(Self { epoch, revision, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for at in [At::Beginning, At::End, At::After("api.greeter".into(), "v1-x/y".into())] {
            let cursor = Cursor { epoch: u64::MAX, revision: 7, at };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "x", "1", "1-", "1-x", "-1-2", "1-2-3", "g-1"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(()), "{wrong}");
        }
    }
}
