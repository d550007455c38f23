//! A job: a plain program. What it prints is its log; exit code 0 is the state `stopped`, another one `error`. With a
//! `[[schedule]]` in `micro.toml` it is started at set times instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    let limit = std::env::args().nth(1);
    let Some(limit) = limit.and_then(|limit| limit.parse().ok()) else {
        eprintln!("usage: job LIMIT");
        return ExitCode::from(2);
    };
    if let Ok(schedule) = std::env::var("MICRO_SCHEDULE") {
        println!("started by {schedule}");
    }
    let greeting = std::env::var("GREETING").unwrap_or_default();
    for prime in primes(limit) {
        println!("{greeting}: {prime} is prime");
    }
    println!("done");
    ExitCode::SUCCESS
}

fn primes(limit: u32) -> impl Iterator<Item = u32> {
    (2..limit).filter(|&number| (2..number).all(|divisor| number % divisor != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_primes_are_listed() {
        let found: Vec<u32> = primes(30).collect();
        assert_eq!(found, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
    }
}
