//! SHA-256 as FIPS 180-4 has it, so that tests of services need no library for it.

/// The first 32 bits of the fractional parts of roots of primes.
struct Constants {
    /// Square roots of the first 8.
    start: [u32; 8],
    /// Cube roots of the first 64.
    rounds: [u32; 64],
}

/// The first 32 bits behind the point of the `power`th root of `prime`.
fn fraction(prime: u128, power: u32) -> u32 {
    // The root of prime × 2^(32 × power) is the root of the prime × 2^32.
    let wanted = prime << (32 * power);
    let (mut low, mut high) = (0_u128, 1 << 37);
    while high - low > 1 {
        let middle = u128::midpoint(low, high);
        if middle.pow(power) <= wanted { low = middle } else { high = middle }
    }
    (low & 0xffff_ffff) as u32
}

fn constants() -> Constants {
    let primes: Vec<u128> = (2..312).filter(|n| (2..*n).all(|by| n % by > 0)).collect();
    let of = |power| primes.iter().map(move |prime| fraction(*prime, power));
    let (mut start, mut rounds) = ([0; 8], [0; 64]);
    start.iter_mut().zip(of(2)).for_each(|(slot, value)| *slot = value);
    rounds.iter_mut().zip(of(3)).for_each(|(slot, value)| *slot = value);
    Constants { start, rounds }
}

/// In lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let Constants { start: mut state, rounds } = constants();
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        compress(&mut state, block, &rounds);
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

fn compress(state: &mut [u32; 8], block: &[u8], rounds: &[u32; 64]) {
    let mut words = [0_u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    }
    for at in 16..64 {
        let (two, fifteen) = (words[at - 2], words[at - 15]);
        let near = two.rotate_right(17) ^ two.rotate_right(19) ^ (two >> 10);
        let far = fifteen.rotate_right(7) ^ fifteen.rotate_right(18) ^ (fifteen >> 3);
        words[at] = near.wrapping_add(words[at - 7]).wrapping_add(far).wrapping_add(words[at - 16]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (word, round) in words.iter().zip(rounds) {
        let up = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let one = h.wrapping_add(up).wrapping_add(choice).wrapping_add(*round).wrapping_add(*word);
        let down = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let two = down.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(two));
    }
    for (slot, value) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *slot = slot.wrapping_add(value);
    }
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn known_digests() {
        let of = |text: &str| hex(text.as_bytes());
        assert_eq!(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(of(two_blocks), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}
