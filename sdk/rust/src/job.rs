//! Programs that run once.

/// Makes the crate a job: exports `wasi:cli/run` with an `async fn() -> Result<(), E>` where `E: Display`.
///
/// The job's output is its log; `Ok` is exit code 0 and the state `stopped`, `Err` is printed to stderr and is the
/// state `error`. A job that calls nothing of this crate may as well be a plain program with a `main`.
#[macro_export]
macro_rules! job {
    ($main:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::job::exports::wasi::cli::run::Guest for Exported {
                async fn run() -> ::core::result::Result<(), ()> {
                    $main().await.map_err(|error| ::std::eprintln!("{error}"))
                }
            }

    $crate::bindings::job::__export_job!(Exported with_types_in $crate::bindings::job);
        };
    };
}
