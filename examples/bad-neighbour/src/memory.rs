//! What a service can do to its own memory and CPU.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Uses the CPU for so long; without a time for ever.
pub fn spin(time: Option<Duration>) {
    let started = Instant::now();
    let mut count = 0_u64;
    while time.is_none_or(|time| started.elapsed() < time) {
        for _ in 0..10_000 {
            count = black_box(count.wrapping_add(1));
        }
    }
}

/// Takes memory, and touches it, until there is none.
pub fn allocate() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20]);
        black_box(&taken);
    }
}

/// Calls itself until the stack is full.
#[inline(never)]
pub fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(false) {
        return depth;
    }
    black_box(recurse(depth + 1)) + frame[0]
}

/// Panics, in a function of its own: its name shows in the backtrace.
#[inline(never)]
pub fn trap() -> ! {
    panic!("the neighbour panics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_ends_when_told() {
        let started = Instant::now();
        spin(Some(Duration::from_millis(2)));
        assert!(started.elapsed() >= Duration::from_millis(2));
    }
}
