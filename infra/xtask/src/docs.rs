//! A test of the documentation: every file that ARCHITECTURE.md names is there.

use std::fs;
use std::path::Path;

use crate::paths;

#[test]
fn every_file_that_the_architecture_names_exists() {
    let text = fs::read_to_string(paths::root().join("ARCHITECTURE.md")).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    let files: Vec<_> =
        quoted.filter(|word| word.ends_with(".rs") && !word.contains(['<', '{', ' '])).collect();
    assert!(files.len() > 30, "{files:?}");
    let mut all = Vec::new();
    for folder in ["sdk", "host", "builder", "portal", "infra", "integration"] {
        list(&paths::root().join(folder), &mut all);
    }
    let missing: Vec<_> = files
        .into_iter()
        .filter(|file| !all.iter().any(|path| path.ends_with(&format!("/{file}"))))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names files that are not there: {missing:?}");
}

fn list(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            list(&path, found);
        } else {
            found.push(path.display().to_string());
        }
    }
}
