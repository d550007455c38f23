//! The sandbox alone, with programs of the system.

use super::*;

fn limits() -> Limits {
    Limits {
        memory_bytes: 256 << 20,
        processes: 64,
        files: 256,
        disk_bytes: 64 << 20,
        cpu_seconds: 10,
        cpu_percent: 100,
        wall: Duration::from_secs(20),
        output_bytes: 1 << 20,
    }
}

struct Setting {
    host: Host,
    out: tempfile::TempDir,
    uid: u32,
}

impl Setting {
    fn new() -> Self {
        let out = tempfile::tempdir().unwrap();
        let host = Host::new(&out.path().join("etc-parent"), 0).unwrap();
        let uid = if host.root { 2_000_007_999 } else { rustix::process::geteuid().as_raw() };
        std::fs::create_dir(out.path().join("out")).unwrap();
        if host.root {
            tree::give(&out.path().join("out"), uid).unwrap();
        }
        Self { host, out, uid }
    }

    async fn run(&self, script: &str, limits: Limits) -> (End, String) {
        let spec = Spec {
            uid: self.uid,
            mounts: vec![Mount::write(self.out.path().join("out"), "/out")],
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            program: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            limits,
        };
        let mut text = String::new();
        let end = self
            .host
            .run(&spec, &CancellationToken::new(), &mut |_, line| {
                text.push_str(line);
                text.push('\n');
            })
            .await
            .unwrap();
        (end, text)
    }
}

#[tokio::test]
async fn it_runs_as_nobody_the_host_knows() {
    let setting = Setting::new();
    let (end, text) = setting.run("id -u; cat /etc/shadow; echo x > /out/file; env", limits()).await;
    assert_eq!(end, End::Exit(0), "{text}");
    assert!(text.starts_with("1000\n") && text.contains("No such file"), "{text}");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(setting.out.path().join("out/file").metadata().unwrap().uid(), setting.uid);
    assert!(!text.contains("HOME=") && !text.contains("CARGO"), "{text}");
}

#[tokio::test]
async fn exit_codes_and_bounds_are_told_apart() {
    let setting = Setting::new();
    assert_eq!(setting.run("exit 3", limits()).await.0, End::Exit(3));
    let short = Limits { wall: Duration::from_millis(300), ..limits() };
    assert_eq!(setting.run("sleep 60", short).await.0, End::Limit(Limit::Wall));
    let quick = Limits { cpu_seconds: 1, ..limits() };
    assert_eq!(setting.run("while :; do :; done", quick).await.0, End::Limit(Limit::Cpu));
    let loud = Limits { output_bytes: 1000, ..limits() };
    assert_eq!(setting.run("yes", loud).await.0, End::Limit(Limit::Output));
    let files = "for i in 1 2 3 4 5 6; do head -c 20M /dev/zero > /out/$i; sleep 0.3; done";
    assert_eq!(setting.run(files, limits()).await.0, End::Limit(Limit::Disk));
    // The folder holds too much by now, and a slow machine would be told that again.
    let setting = Setting::new();
    assert_eq!(
        setting.run("head -c 100M /dev/zero > /out/one", limits()).await.0,
        End::Limit(Limit::FileSize)
    );
}

#[tokio::test]
async fn memory_is_bounded() {
    let setting = Setting::new();
    let (end, text) = setting.run("tail /dev/zero", limits()).await;
    if setting.host.cgroups.create(&limits()).bounds_memory(&limits()) {
        assert_eq!(end, End::Limit(Limit::Memory), "{text}");
    } else {
        assert_ne!(end, End::Exit(0));
    }
    // Files in memory count too, and the root takes none.
    let (end, text) = setting.run("head -c 10M /dev/zero > /file", limits()).await;
    assert_ne!(end, End::Exit(0));
    assert!(text.contains("Read-only file system"), "{text}");
}

#[tokio::test]
async fn processes_are_bounded() {
    let mut setting = Setting::new();
    let script = "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done; echo made $i";
    let bounded = setting.host.cgroups.create(&limits()).bounds_processes(&limits());
    let (end, text) = setting.run(script, Limits { wall: Duration::from_secs(5), ..limits() }).await;
    if bounded {
        assert_eq!(end, End::Limit(Limit::Processes), "{text}");
    }
    assert_ne!(end, End::Exit(0), "{text}");
    // Without control groups the user's own limit holds; only root has users to give.
    setting.host.cgroups = Cgroups::default();
    if setting.host.root {
        let (end, text) = setting.run(script, Limits { wall: Duration::from_secs(5), ..limits() }).await;
        assert_ne!(end, End::Exit(0), "{text}");
        assert!(text.contains("Cannot fork"), "{text}");
    }
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    let setting = Setting::new();
    let run = setting.run("sleep 100004.25", limits());
    let _ = tokio::time::timeout(Duration::from_millis(500), run).await;
    for _ in 0..200 {
        let found = std::process::Command::new("pgrep").args(["-f", "sleep 100004.25"]).output().unwrap();
        if found.stdout.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still there");
}
