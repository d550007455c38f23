use std::time::{Duration, Instant};

use micro_api::manifest::Manifest;

use super::fixture::{Fixture, component, context};
use crate::Fault;

/// A job whose `run` has this body.
fn job(body: &str) -> Vec<u8> {
    let wit = [
        "package wasi:cli@0.2.0; interface run { run: func() -> result; } interface exit { exit: func(status: result); }",
        "package test:guest; world guest { import wasi:cli/exit@0.2.0; export wasi:cli/run@0.2.0; }",
    ];
    let module = format!(
        r#"(module
            (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func $burn (param $turns i64)
                (loop $again
                    (local.set $turns (i64.sub (local.get $turns) (i64.const 1)))
                    (br_if $again (i32.wrap_i64 (local.get $turns)))))
            (func (export "wasi:cli/run@0.2.0#run") (result i32) {body}))"#
    );
    component(&wit, &module)
}

#[tokio::test]
async fn a_jobs_exit_code_comes_back() {
    let fixture = Fixture::new();
    for (body, code) in [
        ("(i32.const 0)", 0),
        ("(i32.const 1)", 1),
        ("(call $exit (i32.const 0)) (i32.const 1)", 0),
        ("(call $exit (i32.const 1)) (i32.const 0)", 1),
    ] {
        let revision = fixture.revision("job", &job(body), Manifest::default());
        assert_eq!(fixture.runtime.run(&revision, None, context()).await.unwrap(), code, "{body}");
    }
}

#[tokio::test]
async fn a_job_that_traps_has_failed() {
    let fixture = Fixture::new();
    let revision = fixture.revision("job", &job("(unreachable)"), Manifest::default());
    let fault = fixture.runtime.run(&revision, None, context()).await.unwrap_err();
    assert!(matches!(fault, Fault::Trap(_)), "{fault:?}");
}

#[tokio::test]
async fn a_job_gets_its_share_of_a_core_and_no_more() {
    let fixture = Fixture::with(|config| config.service.job_cpu_permille = 250);
    let revision = fixture.revision(
        "job",
        &job("(call $burn (i64.const 400000000)) (i32.const 0)"),
        Manifest::default(),
    );
    let began = Instant::now();
    assert_eq!(fixture.runtime.run(&revision, None, context()).await.unwrap(), 0);
    let cpu = revision.stats().cpu;
    // All but the first burst is stretched to four times its CPU time; a little is left for clocks.
    let stretched = cpu.saturating_sub(Duration::from_millis(110)) * 4;
    assert!(began.elapsed() >= stretched.mul_f64(0.9), "{:?} for {cpu:?}", began.elapsed());
}

#[tokio::test]
async fn a_job_ends_at_its_deadline() {
    let fixture = Fixture::with(|config| config.service.job_wall = Duration::from_millis(300));
    let revision =
        fixture.revision("job", &job("(loop $again (br $again)) (i32.const 0)"), Manifest::default());
    let fault = fixture.runtime.run(&revision, None, context()).await.unwrap_err();
    assert!(matches!(fault, Fault::WallLimit), "{fault:?}");
    while revision.stats().instances > 0 {
        tokio::task::yield_now().await;
    }
}
