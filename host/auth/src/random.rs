//! Random bytes, texts and numbers, all of the operating system's generator: what leaves here becomes a credential.

use rand::RngCore as _;
use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// Fills `bytes`.
///
/// Does not return when the system has no random numbers to give; on Linux that is before the first of them at boot
/// only. There is nothing safe to do without.
pub(crate) fn fill(bytes: &mut [u8]) {
    OsRng.unwrap_err().fill_bytes(bytes);
}

/// A number below `bound`, each equally likely. `bound` is not 0.
pub(crate) fn below(bound: u32) -> u32 {
    let mut bytes = [0; 4];
    loop {
        fill(&mut bytes);
        if let Some(number) = fair(u32::from_le_bytes(bytes), bound) {
            return number;
        }
    }
}

/// `length` characters of `alphabet`, which is ASCII and not empty.
pub(crate) fn text(alphabet: &[u8], length: usize) -> String {
    let bound = u32::try_from(alphabet.len()).unwrap_or(u32::MAX);
    (0..length).map(|_| char::from(alphabet[below(bound) as usize])).collect()
}

/// Maps a random word to a number below `bound`. The last, incomplete run of the word's range is refused, because with
/// it the low numbers would come up more often.
fn fair(word: u32, bound: u32) -> Option<u32> {
    let runs = u32::MAX / bound * bound;
    (word < runs).then(|| word % bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_incomplete_run_is_refused() {
        assert_eq!(fair(0, 10), Some(0));
        assert_eq!(fair(4_294_967_289, 10), Some(9));
        assert_eq!(fair(4_294_967_290, 10), None);
        assert_eq!(fair(u32::MAX, 10), None);
        assert_eq!(fair(u32::MAX - 1, 1), Some(0));
    }

    #[test]
    fn each_character_comes_up() {
        let drawn = text(b"0123456789", 10_000);
        for digit in '0'..='9' {
            let times = drawn.chars().filter(|drawn| *drawn == digit).count();
            // 1000 are expected with a deviation of 30: ten deviations off is a broken generator.
            assert!((700..=1300).contains(&times), "{digit} came up {times} times");
        }
    }
}
