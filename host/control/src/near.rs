//! "Did you mean": the known name that is nearest to an unknown one.

/// A name of `known` that differs from `name` by a slip: one edit in three characters, at least one.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    let slips = (name.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| (1..=slips).contains(distance))
        .min()
        .map(|(_, candidate)| candidate.clone())
}

/// `text`, with the near match where there is one.
pub(crate) fn with_hint(text: &str, name: &str, known: &[String]) -> String {
    match nearest(name, known) {
        Some(near) => format!("{text}, did you mean `{near}`?"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised() {
        let known = ["greeter", "helloworld", "a"].map(str::to_owned);
        assert_eq!(nearest("helloword", &known).as_deref(), Some("helloworld"));
        assert_eq!(nearest("greter", &known).as_deref(), Some("greeter"));
        assert_eq!(nearest("greeter", &known), None, "the name itself is no suggestion");
        assert_eq!(nearest("orders", &known), None);
        assert_eq!(with_hint("service not found", "orders", &known), "service not found");
    }
}
