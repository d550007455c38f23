//! Dotted paths.

use std::fmt;
use std::str::FromStr;

/// Longest path, bytes.
pub const PATH_BYTES_MAX: usize = 256;
/// Most parts of a path, and so the deepest that a document can be addressed.
pub const PATH_PARTS_MAX: usize = 16;

/// Where a value stands: `database.host`. Parts are not empty and hold no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

/// Why a text is no path. Does not repeat it: it may have been meant as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("a path has 1 to {PATH_BYTES_MAX} bytes")]
    Length,
    #[error("a path has at most {PATH_PARTS_MAX} parts, divided by dots")]
    Depth,
    #[error("a path is parts divided by single dots, such as database.host, without control characters")]
    Form,
}

impl Path {
    /// The parts, at least one.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` stands below this path.
    pub fn is_above(&self, other: &Path) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl FromStr for Path {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() || text.len() > PATH_BYTES_MAX {
            return Err(PathError::Length);
        }
        if text.split('.').count() > PATH_PARTS_MAX {
            return Err(PathError::Depth);
        }
        if text.split('.').any(str::is_empty) || text.chars().any(char::is_control) {
            return Err(PathError::Form);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
