//! Habits no compiler enforces.
#![expect(clippy::unwrap_used, reason = "a check fails loudly")]

use skep_checks::{crates, read, root};
use std::{fs, path::Path};
use toml_edit::{DocumentMut, Item};

/// Calls `visit` with every file below `folder` that git could track.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            if name != "target" && !name.starts_with('.') {
                walk(&path, visit);
            }
        } else {
            visit(&path);
        }
    }
}

#[test]
fn manifests_inherit_lints_and_say_what_they_are() {
    let manifest: DocumentMut = read("Cargo.toml").unwrap().parse().unwrap();
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let mut wrong = Vec::new();
    for one in crates().unwrap() {
        let manifest: DocumentMut = read(one.folder.join("Cargo.toml")).unwrap().parse().unwrap();
        if manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) != Some(true) {
            wrong.push(format!("{}: inherit the lints with `[lints] workspace = true`", one.name));
        }
        if manifest["package"].get("description").and_then(Item::as_str).is_none_or(str::is_empty) {
            wrong.push(format!("{}: say what it is in `description`", one.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file is not its own finding.
    let markers = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("XX", "X")];
    let mut sources = 0;
    let mut found = Vec::new();
    walk(&root(), &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            sources += 1;
            let text = fs::read_to_string(path).unwrap();
            for (line, number) in text.lines().zip(1..) {
                if markers.iter().any(|marker| line.contains(marker)) {
                    found.push(format!("{}:{number}: {line}", path.display()));
                }
            }
        }
    });
    assert!(sources > 20, "sources should have been found below {}", root().display());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Files and folders named in backticks, from the words that look like a path of this repository.
fn named_paths(page: &str) -> Vec<&str> {
    let rooms = ["chain/", "docs/", "messaging/", "node/", "pallets/", "proto/", "runtime/", "scripts/"];
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| rooms.iter().any(|room| code.starts_with(room)) && !code.contains(char::is_whitespace))
        .collect()
}

#[test]
fn guides_name_files_that_exist() {
    assert_eq!(
        named_paths("see `chain/rpc` and `a/b`, `scripts/test --all`, `proto/x.rs`"),
        ["chain/rpc", "proto/x.rs"]
    );
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(page).unwrap();
        let paths = named_paths(&text);
        assert!(paths.len() > 5, "{page} should name files");
        let missing: Vec<_> = paths.into_iter().filter(|path| !root().join(path).exists()).collect();
        assert!(missing.is_empty(), "{page} names what is not there: {missing:?}");
    }
}
