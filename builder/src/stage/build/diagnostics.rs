//! What of a failed build's output an error shows.

/// Lines kept from the first error on.
const LINES_MAX: usize = 60;
/// Lines kept of a build that fails without a word.
const TAIL_MAX: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    errors: Vec<String>,
    tail: Vec<String>,
    misses_crates: bool,
}

impl Diagnostics {
    pub(super) fn push(&mut self, line: &str) {
        // Cargo names the flag wherever it lacks something that it may not download.
        self.misses_crates |= line.contains("--offline") || line.contains("offline was specified");
        if self.errors.len() < LINES_MAX && (!self.errors.is_empty() || is_error(line)) {
            self.errors.push(line.to_owned());
        }
        if !line.trim().is_empty() {
            if self.tail.len() == TAIL_MAX {
                self.tail.remove(0);
            }
            self.tail.push(line.to_owned());
        }
    }

    pub(super) fn misses_crates(&self) -> bool {
        self.misses_crates
    }

    /// The first error with its place as one line, then the compiler's own lines.
    pub(super) fn summary(&self, code: i32) -> String {
        let lines = if self.errors.is_empty() { &self.tail } else { &self.errors };
        let Some(first) = self.errors.first().or_else(|| self.tail.last()) else {
            return format!("the build ended with exit code {code}");
        };
        let place = self.errors.iter().take(4).find_map(|line| line.trim_start().strip_prefix("--> "));
        let head = place.map_or_else(|| first.clone(), |place| format!("{first} ({place})"));
        format!("{head}\n{}", lines.join("\n"))
    }
}

fn is_error(line: &str) -> bool {
    line.starts_with("error") && line.get(5..6).is_some_and(|next| matches!(next, ":" | "["))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_leads() {
        let mut diagnostics = Diagnostics::default();
        for line in [
            "   Compiling hello v0.1.0",
            "error[E0425]: cannot find value `x` in this scope",
            " --> src/lib.rs:3:5",
            "  |",
            "3 |     x",
            "error: could not compile `hello`",
        ] {
            diagnostics.push(line);
        }
        let summary = diagnostics.summary(101);
        let mut lines = summary.lines();
        assert_eq!(lines.next(), Some("error[E0425]: cannot find value `x` in this scope (src/lib.rs:3:5)"));
        assert_eq!(lines.next(), Some("error[E0425]: cannot find value `x` in this scope"));
        assert!(summary.contains("3 |     x"));
        assert_eq!(Diagnostics::default().summary(3), "the build ended with exit code 3");
    }
}
