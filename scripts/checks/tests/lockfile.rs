//! What is built: one release set of the SDK, nothing that is banned, no version left to chance.
#![expect(clippy::unwrap_used, reason = "a check fails loudly")]

use skep_checks::{crates, read};
use std::collections::{BTreeMap, BTreeSet};
use toml_edit::{DocumentMut, Item, TableLike};

/// Crates of the polkadot-sdk are told by these prefixes; our own pallets have no source in the lock file.
const SDK_PREFIXES: [&str; 5] = ["sp-", "sc-", "frame-", "pallet-", "substrate-"];

fn parse(path: &str) -> DocumentMut {
    read(path).unwrap().parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_sdk(name: &str) -> bool {
    SDK_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Name and version of every package in the lock file; `published` leaves the workspace's own out.
fn locked(published: bool) -> BTreeSet<(String, String)> {
    let lock = parse("Cargo.lock");
    let packages = lock["package"].as_array_of_tables().unwrap();
    let text = |item: &Item| item.as_str().unwrap().to_owned();
    packages
        .iter()
        .filter(|package| !published || package.contains_key("source"))
        .map(|package| (text(&package["name"]), text(&package["version"])))
        .collect()
}

fn dependency_tables(manifest: &DocumentMut) -> Vec<&dyn TableLike> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(Item::as_table_like);
    let in_targets =
        targets.into_iter().flat_map(|targets| targets.iter().filter_map(|(_, item)| item.as_table_like()));
    [manifest.as_table() as &dyn TableLike]
        .into_iter()
        .chain(in_targets)
        .flat_map(|table| kinds.iter().filter_map(move |kind| table.get(kind)?.as_table_like()))
        .collect()
}

#[test]
fn every_sdk_crate_has_one_version() {
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for (name, version) in locked(true).into_iter().filter(|(name, _)| is_sdk(name)) {
        versions.entry(name).or_default().push(version);
    }
    assert!(versions.len() > 50, "the SDK should be in the lock file: {versions:?}");
    let several: Vec<_> = versions.iter().filter(|(_, versions)| versions.len() > 1).collect();
    assert!(several.is_empty(), "two release sets are mixed: {several:?}");
}

#[test]
fn nothing_banned_is_locked() {
    let deny = parse("deny.toml");
    let banned: BTreeSet<_> = deny["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ban| ban.as_inline_table().unwrap()["crate"].as_str().unwrap())
        .collect();
    for must in ["aws-lc-rs", "aws-lc-sys", "kvdb-rocksdb"] {
        assert!(banned.contains(must), "deny.toml should ban {must}");
    }
    let found: Vec<_> = locked(false)
        .into_iter()
        .filter(|(name, _)| banned.contains(name.as_str()) || name.starts_with("aws-lc"))
        .collect();
    assert!(found.is_empty(), "banned by deny.toml: {found:?}");
}

#[test]
fn versions_are_written_once_and_never_open() {
    let root = parse("Cargo.toml");
    let shared = root["workspace"]["dependencies"].as_table_like().unwrap();
    for (name, item) in shared.iter() {
        let version = item.as_str().or_else(|| item.as_table_like()?.get("version")?.as_str());
        let package = item.as_table_like().and_then(|table| table.get("package")?.as_str()).unwrap_or(name);
        match version {
            Some(version) => {
                assert!(!version.contains('*') && !version.is_empty(), "{name}: write a version");
                assert!(!is_sdk(package) || version.starts_with('='), "{name}: pin the SDK's version with `=`");
            }
            None => assert!(item.get("path").is_some(), "{name}: neither version nor path"),
        }
    }
    for one in crates().unwrap() {
        let path = one.folder.join("Cargo.toml").display().to_string();
        let manifest = parse(&path);
        for (name, item) in dependency_tables(&manifest).into_iter().flat_map(|table| table.iter()) {
            let inherited = item.get("workspace").and_then(Item::as_bool) == Some(true);
            assert!(inherited, "{path}: take {name} from [workspace.dependencies]");
        }
    }
}
