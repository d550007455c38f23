//! Names for namespaces whose owner did not choose one.

use std::sync::LazyLock;

use crate::random;

/// How it is, where it lives, what it is. The lists share no word, so that no name says a thing twice.
static WORDS: LazyLock<[Vec<&str>; 3]> = LazyLock::new(|| {
    [include_str!("adjectives.txt"), include_str!("nature.txt"), include_str!("animals.txt")]
        .map(|words| words.split_whitespace().collect())
});

/// Three random words joined by `-`, at most 26 bytes: 25 bits, so whoever takes one checks that it is free.
pub fn namespace_name() -> String {
    WORDS.each_ref().map(|words| pick(words)).join("-")
}

fn pick(words: &[&'static str]) -> &'static str {
    let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
    words.get(random::below(count) as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_lists_are_long_and_clean() {
        let mut all = HashSet::new();
        for list in WORDS.iter() {
            assert!(list.len() >= 256, "{}", list.len());
            for word in list {
                assert!(word.len() <= 8 && word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
                assert!(all.insert(*word), "{word} is there twice");
            }
        }
    }

    #[test]
    fn a_name_is_a_namespace() {
        for _ in 0..100 {
            let name = namespace_name();
            assert!(name.len() <= 40 && name.split('-').count() == 3, "{name}");
            name.parse::<micro_api::Namespace>().unwrap();
        }
    }
}
