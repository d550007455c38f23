//! Builds that try to get out, or to use everything up.

use tokio::net::TcpListener;

use crate::harness::*;

#[tokio::test]
async fn a_build_sees_nothing_and_reaches_nobody() {
    let mut platform = Platform::start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = platform.folder("data/build/jobs/other");
    std::fs::write(other.join("secret"), "SECRET").unwrap();
    let script = format!(
        "cat /etc/shadow && echo GOT-SHADOW\n\
         cat {0}/artifact.key && echo GOT-KEY\n\
         find / -name 'control.db*' -o -name secret 2>/dev/null | grep . && echo GOT-FILES\n\
         ls -d /root/.cargo /root/.ssh /root/.bashrc /root/.micro /home/* /var/lib 2>/dev/null | grep . && echo GOT-HOMES\n\
         bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' && echo GOT-NETWORK\n\
         ls /sys/class/net 2>/dev/null | grep -v lo | grep . && echo GOT-INTERFACE\n\
         ps aux | grep -v ps | grep micro-builder | grep -v inside | grep -- --data && echo GOT-PROCESSES\n\
         env | grep -i -E 'token|secret|MICRO_D' && echo GOT-ENV\n\
         touch /usr/x /x /etc/x && echo GOT-WRITE\n\
         mkdir /tmp/m && mount -t tmpfs none /tmp/m && echo GOT-MOUNT\n\
         unshare -U true && echo GOT-USERNS\n\
         kill -9 1 && echo GOT-KILL\n\
         id; echo END\n",
        platform.data().display()
    );
    let source = scripted(&platform, "curious", &script);
    let log = platform.built(source, "curious").await;
    assert!(log.contains("END"), "{log}");
    for line in log.lines() {
        // Signals to the first process of a namespace are dropped, which `kill` takes for success.
        assert!(!line.starts_with("GOT-") || line == "GOT-KILL", "{log}");
    }
    assert!(log.contains("uid=1000"), "{log}");
}

#[tokio::test]
async fn a_bomb_ends_and_leaves_nothing() {
    let mut platform = Platform::start(&["--build_wall", "4s"]).await;
    let source = scripted(&platform, "bomb", "b() { b | b & }\nb\nsleep 100000.125\n");
    let error = platform.error(source, "bomb").await;
    assert!(error.contains("took longer than 4 s") || error.contains("more than 512 processes"), "{error}");
    let left = std::process::Command::new("pgrep").args(["-f", "sleep 100000.125"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
    // The builder goes on.
    let source = scripted(&platform, "good", "echo fine\n");
    platform.built(source, "good").await;
}

#[tokio::test]
async fn disk_and_memory_are_bounded() {
    let mut platform =
        Platform::start(&["--build_disk", "32MiB", "--build_memory", "192MiB", "--build_wall", "60s"]).await;
    let one_file = scripted(&platform, "file", "head -c 200M /dev/zero > /work/target/big\n");
    let error = platform.error(one_file, "file").await;
    assert!(error.contains("wrote more than 32 MiB"), "{error}");
    let files = "i=0\nwhile true; do i=$((i+1)); head -c 8M /dev/zero > /work/target/$i; done\n";
    let error = platform.error(scripted(&platform, "files", files), "files").await;
    assert!(error.contains("wrote more than 32 MiB"), "{error}");
    let error = platform.error(scripted(&platform, "memory", "tail /dev/zero\n"), "memory").await;
    assert!(error.contains("more than 192 MiB of memory") || error.contains("exit code"), "{error}");
}

#[tokio::test]
async fn output_is_bounded() {
    let mut platform = Platform::start(&["--build_wall", "120s", "--lease", "3s"]).await;
    let found = platform.build(scripted(&platform, "output", "yes\n"), "output", "latest").await;
    let error = found.error.unwrap().detail;
    assert!(error.contains("printed more than 16 MiB"), "{error}");
    let log = platform.log(&found.id).await;
    assert!(log.ends_with("the build log ends here: it is longer than 16384 lines"));
    // The builder goes on, and no writer of the flood stands in its way.
    let started = std::time::Instant::now();
    platform.built(scripted(&platform, "good", "echo fine\n"), "good").await;
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let mut platform = Platform::start(&["--disk_free_min", "1000000GiB"]).await;
    let source = scripted(&platform, "any", "true\n");
    let error = platform.error(source, "any").await;
    assert_eq!(error, "Error fetching git source: the builder's disk is full: ask the operator");
}

#[tokio::test]
async fn who_fills_the_disk_leaves_it_to_others() {
    let Some(mut platform) = Platform::start_on_disk("160m", &["--disk_free_min", "32MiB"]).await else {
        eprintln!("not root: a full disk is tested by the flag alone");
        return;
    };
    let full = "the builder's disk is full: ask the operator";
    for (name, script) in [
        // One that is told that there is no space, and one that writes on until it is stopped.
        ("once", "head -c 300M /dev/zero > /work/target/big\n"),
        ("again", "while true; do head -c 300M /dev/zero > /work/target/big; done\n"),
    ] {
        let error = platform.error(scripted(&platform, name, script), name).await;
        assert!(error.contains(full), "{name}: {error}");
        let good = format!("good-{name}");
        platform.built(scripted(&platform, &good, "echo fine\n"), &good).await;
    }
}

#[tokio::test]
async fn results_that_lead_out_are_refused() {
    let mut platform = Platform::start(&[]).await;
    let key = platform.data().join("artifact.key");
    let script = format!("rm app.wasm\nln -s {} app.wasm\n", key.display());
    let error = platform.error(scripted(&platform, "link", &script), "link").await;
    assert!(error.contains("a link leads out of the folder"), "{error}");
    let error = platform.error(scripted(&platform, "pipe", "rm app.wasm\nmkfifo app.wasm\n"), "pipe").await;
    assert!(error.contains("not a regular file"), "{error}");
}

#[tokio::test]
async fn components_are_validated() {
    let mut platform = Platform::start(&[]).await;
    let make = |name: &str, text: &str| {
        let folder = platform.folder(name);
        write_component(&folder, text);
        commit(&folder, &[("README", "x")]);
        local(&folder)
    };
    let core = make("core", "(module)");
    let store = make(
        "store",
        r#"(component
            (import "micro:platform/store@0.1.0" (instance))
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $inst (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $inst)))"#,
    );
    let unknown = make("unknown", r#"(component (import "evil:thing/api@1.0.0" (instance)))"#);
    let nothing = make("nothing", "(component)");
    let error = platform.error(core, "core").await;
    assert!(error.contains("this is a core WebAssembly module, not a component"), "{error}");
    let error = platform.error(store, "store").await;
    assert!(error.contains("add the line `store = [\"own\"]` below [grants] in micro.toml"), "{error}");
    let error = platform.error(unknown, "unknown").await;
    assert!(error.contains("imports `evil:thing/api@1.0.0`, which the platform does not offer"), "{error}");
    let error = platform.error(nothing, "nothing").await;
    assert!(error.contains("exports nothing"), "{error}");
}

#[tokio::test]
async fn a_broken_manifest_is_placed() {
    let mut platform = Platform::start(&[]).await;
    let folder = platform.folder("broken");
    write_component(&folder, JOB);
    commit(&folder, &[("micro.toml", "[service]\nnmae = \"x\"\n")]);
    let error = platform.error(local(&folder), "broken").await;
    assert!(error.starts_with("Error loading source: micro.toml:2:1: "), "{error}");
}
