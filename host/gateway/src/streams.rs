//! In which directions an endpoint streams.

use std::collections::BTreeMap;

/// What is known of it; none where the form of the call decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) takes: Option<bool>,
    pub(crate) replies: Option<bool>,
}

impl Streams {
    pub(crate) const fn new(takes: bool, replies: bool) -> Self {
        Self { takes: Some(takes), replies: Some(replies) }
    }

    /// What an endpoint says of itself: `stream=true`, as Micro's services do, and `requests=stream` or
    /// `replies=stream` where it is known in which direction. An endpoint that says nothing does not stream.
    pub(crate) fn of_metadata(metadata: &BTreeMap<String, String>) -> Self {
        let says = |key: &str, value: &str| metadata.get(key).is_some_and(|said| said == value);
        match (says("requests", "stream"), says("replies", "stream")) {
            (false, false) if says("stream", "true") => Self { takes: None, replies: Some(true) },
            (takes, replies) => Self::new(takes, replies),
        }
    }

    /// It is known to stream.
    pub(crate) fn known(self) -> bool {
        self.takes == Some(true) || self.replies == Some(true)
    }

    /// It streams, or may.
    pub(crate) fn possible(self) -> bool {
        self != Self::new(false, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_says_what_is_known() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Streams::of_metadata(&pairs.collect())
        };
        for (pairs, wanted) in [
            (&[][..], Streams::new(false, false)),
            (&[("stream", "false")], Streams::new(false, false)),
            (&[("stream", "true")], Streams { takes: None, replies: Some(true) }),
            (&[("stream", "true"), ("requests", "stream")], Streams::new(true, false)),
            (&[("replies", "stream")], Streams::new(false, true)),
            (&[("requests", "stream"), ("replies", "stream")], Streams::new(true, true)),
        ] {
            assert_eq!(of(pairs), wanted, "{pairs:?}");
        }
        assert!(!Streams::new(false, false).possible() && !Streams::new(false, false).known());
        assert!(Streams::default().possible() && !Streams::default().known());
        assert!(Streams::new(true, false).known() && Streams::new(false, true).known());
    }
}
