//! `micro store export` and `micro store import`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::fake::s3::S3;
use crate::harness::Micro;

/// Records of two tables.
fn filled() -> Fake {
    let fake = Fake::start();
    {
        let mut seen = fake.seen();
        for n in 0..5 {
            let record = json!({"value": STANDARD.encode([n, 0, 255]), "expires_ms": null});
            seen.store.entry("helloworld".into()).or_default().insert(format!("k{n}"), record);
        }
        let record = json!({"value": "", "expires_ms": 4_000_000_000_000_u64});
        seen.store.entry("micro".into()).or_default().insert("\u{fc} \"x\"".into(), record);
    }
    fake
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_goes_out_of_one_server_comes_into_another() {
    let (from, to) = (filled(), Fake::start());
    let (out, into) = (Micro::with(&from.address), Micro::with(&to.address));
    let told = out.stdout(&["store", "export", "all.jsonl"]);
    assert!(told.starts_with("Exported 6 records of 2 tables of default, "), "{told}");
    let text = std::fs::read_to_string(out.work().join("all.jsonl")).unwrap();
    let rows = lines(&text);
    assert_eq!(rows.len(), 8, "{text}");
    assert_eq!((&rows[0]["format"], &rows[0]["version"]), (&json!("micro-store"), &json!(1)));
    assert_eq!(
        (&rows[0]["namespace"], &rows[0]["tables"]),
        (&json!("default"), &json!(["helloworld", "micro"]))
    );
    assert_eq!(rows[1], json!({"table": "helloworld", "key": "k0", "value": "AAD/"}));
    assert_eq!(rows[6]["expires_ms"], 4_000_000_000_000_u64);
    assert_eq!(rows[7]["records"], 6);
    let told = into.answer(&["store", "import", "-"], &text);
    assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (0, "Imported 6 of 6 records\n", ""));
    let again = into.run(&["store", "export", "-"]);
    assert_eq!(lines(&again.stdout)[1..7], rows[1..7]);
    assert!(again.stderr.starts_with("Exported 6 records of 2 tables"), "{}", again.stderr);
    // Twice is harmless, and says so.
    let told = into.answer(&["store", "import", "--json", "-"], &text);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told, json!({"records": 6, "written": 0, "kept": 6, "expired": 0}));
    let told = into.answer(&["store", "import", "--replace", "-"], &text);
    assert_eq!(told.stdout, "Imported 6 of 6 records\n");
}

#[test]
fn some_tables_of_all() {
    let (from, to) = (filled(), Fake::start());
    let (out, into) = (Micro::with(&from.address), Micro::with(&to.address));
    let one = out.run(&["store", "export", "--table", "go.micro.service.helloworld", "-", "--json"]);
    let summary: Value = serde_json::from_str(&one.stderr).unwrap();
    assert_eq!((&summary["tables"], &summary["records"]), (&json!(1), &json!(5)));
    assert_eq!(out.stderr(&["store", "export", "--table", "nosuch", "-"]), "table nosuch not found\n");
    let all = out.run(&["store", "export", "-"]).stdout;
    let told = into.answer(&["store", "import", "--table", "micro", "-"], &all);
    assert_eq!(told.stdout, "Imported 1 of 1 records\n");
    assert!(!to.seen().store.contains_key("helloworld"));
}

#[test]
fn what_is_cut_off_or_changed_is_refused_before_anything_is_written() {
    let (from, to) = (filled(), Fake::start());
    let (out, into) = (Micro::with(&from.address), Micro::with(&to.address));
    let text = out.run(&["store", "export", "-"]).stdout;
    let rows: Vec<_> = text.split_inclusive('\n').collect();
    for (wrong, words) in [
        (rows[..4].concat(), "is cut off after 3 records"),
        (
            rows[0].to_owned() + &rows[2..].concat(),
            "is damaged: it has 5 records, and its last line counts 6",
        ),
        (text.replacen("AAD/", "AAD+", 1), "is damaged: its SHA-256 is "),
        (text.replacen("\"version\":1", "\"version\":2", 1), "is of version 2 of the format"),
        (String::new(), "is empty"),
        ("hello\n".into(), "is no export of a store"),
    ] {
        into.write("wrong.jsonl", &wrong);
        let error = into.stderr(&["store", "import", "wrong.jsonl"]);
        assert!(error.contains("wrong.jsonl") && error.contains(words), "{error}");
        let piped = into.answer(&["store", "import", "-"], &wrong);
        assert!(piped.code == 1 && piped.stderr.contains(words), "{piped:?}");
    }
    assert!(to.seen().transfers.batches.is_empty());
}

/// The file of records with these keys, made by hand.
fn of_keys(micro: &Micro, keys: &[(&str, usize)]) -> String {
    let fake = Fake::start();
    for (key, count) in keys {
        for n in 0..*count {
            let key = if *count == 1 { (*key).to_owned() } else { format!("{key}{n:05}") };
            let expires = if key == "old" { json!(1) } else { Value::Null };
            let record = json!({"value": "AA==", "expires_ms": expires});
            fake.seen().store.entry("helloworld".into()).or_default().insert(key, record);
        }
    }
    let mut out = Micro::alone();
    out.set("MICRO_PROXY_ADDRESS", &fake.address);
    let text = out.run(&["store", "export", "-"]).stdout;
    micro.write("x.jsonl", &text);
    text
}

#[test]
fn a_batch_that_fails_in_passing_is_sent_again() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    of_keys(&micro, &[("away", 1), ("old", 1)]);
    assert_eq!(micro.stdout(&["store", "import", "x.jsonl"]), "Imported 1 of 2 records; 1 had expired\n");
    let batches = fake.seen().transfers.batches.clone();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0], batches[1], "one import");
}

#[test]
fn an_import_that_ends_early_says_how_far_it_came() {
    let fake = Fake::start();
    let micro = Micro::with(&fake.address);
    of_keys(&micro, &[("a", 1_200), ("full", 1)]);
    let told = micro.run(&["store", "import", "x.jsonl"]);
    assert_eq!((told.code, told.stdout.as_str()), (2, ""), "{told:?}");
    assert!(told.stderr.starts_with("limit: store_bytes: "), "{told:?}");
    assert!(told.stderr.contains("1000 of 1201 records are through: run the same command again"), "{told:?}");
    assert_eq!(fake.seen().store["helloworld"].len(), 1_000);
    of_keys(&micro, &[("full", 1)]);
    let told = micro.stderr(&["store", "import", "x.jsonl"]);
    assert!(told.contains("limit: store_bytes: "), "{told}");
}

#[test]
fn an_export_that_fails_leaves_no_file() {
    let fake = filled();
    let micro = Micro::with(&fake.address);
    micro.write("kept.jsonl", "mine");
    fake.seen().store.get_mut("helloworld").unwrap().insert("broken".into(), json!({}));
    let told = micro.run(&["store", "export", "kept.jsonl"]);
    assert_eq!((told.code, told.stderr.as_str()), (1, "the store failed\n"), "{told:?}");
    assert_eq!(std::fs::read_to_string(micro.work().join("kept.jsonl")).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(micro.work()).unwrap().count(), 1);
    let told = micro.stderr(&["store", "export", "no/such/folder"]);
    assert!(told.starts_with("cannot write no/such/folder: "), "{told}");
}

#[test]
fn s3_takes_it_whole_or_in_parts_and_gives_it_back() {
    let (fake, to, s3) = (filled(), Fake::start(), S3::start());
    let endpoint = format!("http://{}", s3.address);
    let with = |address: &str| {
        let mut micro = Micro::with(address);
        micro.set("AWS_ACCESS_KEY_ID", "key-id");
        micro.set("AWS_SECRET_ACCESS_KEY", "very-secret");
        micro.set("AWS_ENDPOINT_URL", &endpoint);
        micro
    };
    let (out, into) = (with(&fake.address), with(&to.address));
    assert!(out.stdout(&["store", "export", "s3://bucket/a/small.jsonl"]).starts_with("Exported 6 records"));
    assert_eq!(s3.held().objects.keys().collect::<Vec<_>>(), ["bucket/a/small.jsonl"]);
    assert_eq!(into.stdout(&["store", "import", "s3://bucket/a/small.jsonl"]), "Imported 6 of 6 records\n");

    let large = STANDARD.encode(vec![7; 4 << 20]);
    for n in 0..4 {
        let record = json!({"value": large, "expires_ms": null});
        fake.seen().store.get_mut("helloworld").unwrap().insert(format!("large{n}"), record);
    }
    assert!(out.stdout(&["store", "export", "s3://bucket/large"]).starts_with("Exported 10 records"));
    assert!(s3.held().last_parts >= 2 && s3.held().parts.is_empty());
    assert_eq!(
        into.stdout(&["store", "import", "s3://bucket/large"]),
        "Imported 4 of 10 records; 6 were there and are as they were: --replace writes over them\n"
    );
    assert_eq!(to.seen().store["helloworld"]["large3"]["value"], large.as_str());

    let gone = into.stderr(&["store", "import", "s3://bucket/none"]);
    assert!(gone.starts_with("cannot read s3://bucket/none: "), "{gone}");
    let mut nobody = Micro::with(&to.address);
    nobody.set("AWS_ENDPOINT_URL", &endpoint);
    nobody.set("AWS_SKIP_SIGNATURE", "true");
    let refused = nobody.stderr(&["store", "import", "s3://bucket/large"]);
    assert!(
        !refused.contains("very-secret") && refused.starts_with("cannot read s3://bucket/large: "),
        "{refused}"
    );
    let bad = into.stderr(&["store", "export", "s3://bucket"]);
    assert!(bad.contains("an object in S3 is s3://BUCKET/KEY"), "{bad}");
}
