//! Structured log lines, shown by `micro logs`. What a service prints to stdout and stderr is kept too.
//!
//! A line longer than 8 KiB is cut; a service that logs too fast loses lines, and the log says how many.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Each step.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What happened.
    Info,
    /// What is not right yet works.
    Warn,
    /// What failed.
    Error,
    /// What stops the service.
    Fatal,
}

/// Writes one line with fields. The macros [`info!`](crate::info) and friends are shorter.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    crate::host::log(level, message, fields);
}

/// Writes a line of a level, formatted as by `format!`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($argument:tt)+) => {
        $crate::log::write($level, &::std::format!($($argument)+), &[])
    };
}

/// Writes a line of level `Trace`.
#[macro_export]
macro_rules! trace {
    ($($argument:tt)+) => { $crate::log!($crate::log::Level::Trace, $($argument)+) };
}

/// Writes a line of level `Debug`.
#[macro_export]
macro_rules! debug {
    ($($argument:tt)+) => { $crate::log!($crate::log::Level::Debug, $($argument)+) };
}

/// Writes a line of level `Info`.
#[macro_export]
macro_rules! info {
    ($($argument:tt)+) => { $crate::log!($crate::log::Level::Info, $($argument)+) };
}

/// Writes a line of level `Warn`.
#[macro_export]
macro_rules! warn {
    ($($argument:tt)+) => { $crate::log!($crate::log::Level::Warn, $($argument)+) };
}

/// Writes a line of level `Error`.
#[macro_export]
macro_rules! error {
    ($($argument:tt)+) => { $crate::log!($crate::log::Level::Error, $($argument)+) };
}
