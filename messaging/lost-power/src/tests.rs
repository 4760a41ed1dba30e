use super::*;

/// What is left of a directory that had `old` when the shell did this, and what was lost.
fn after(commands: &str) -> (BTreeMap<String, String>, Lost) {
    let root = tempfile::tempdir().expect("a directory");
    let files = root.path().join("files");
    fs::create_dir(&files).expect("created");
    fs::write(files.join("old"), "old").expect("written");
    let disk = Disk::under(&files, &root.path().join("notes")).expect("built");
    let environment = disk.environment().expect("noted");
    let done = Command::new("sh").args(["-e", "-c", commands]).current_dir(&files).envs(environment).status();
    assert!(done.expect("runs").success(), "{commands}");
    let lost = disk.lose_power().expect("taken away");
    let read = |entry: io::Result<fs::DirEntry>| {
        let path = entry.expect("read").path();
        (path.file_name()?.to_str()?.to_owned(), fs::read_to_string(&path).ok()?).into()
    };
    (fs::read_dir(&files).expect("read").filter_map(read).collect(), lost)
}

fn files<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
    files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

#[test]
fn what_was_synced_stays() {
    let (left, lost) = after("printf new >new; sync new; printf er >>old; sync -d old; sync .");
    assert_eq!((left, lost), (files([("new", "new"), ("old", "older")]), Lost::default()));
}

#[test]
fn what_was_there_before_stays() {
    assert_eq!(after(":"), (files([("old", "old")]), Lost::default()));
}

#[test]
fn bytes_after_the_last_sync_are_lost() {
    let (left, lost) = after("printf new >new; sync new .; printf er >>new; printf er >>old");
    assert_eq!(left, files([("new", "new"), ("old", "old")]));
    assert_eq!((lost.bytes_of("new"), lost.bytes_of("old"), lost.bytes_of("")), (2, 2, 4));
}

#[test]
fn a_name_without_bytes_and_bytes_without_a_name() {
    let (left, lost) = after("printf empty >empty; sync .; printf nameless >nameless; sync nameless");
    assert_eq!(left, files([("empty", ""), ("old", "old")]));
    assert_eq!((lost.bytes_of("empty"), lost.names), (5, vec!["nameless".to_owned()]));
}

#[test]
fn what_was_removed_is_there_again_until_that_is_synced() {
    let (left, lost) = after("rm old");
    assert_eq!((left, lost.back), (files([("old", "old")]), vec!["old".to_owned()]));
    assert_eq!(after("rm old; sync .").0, files([]));
}

#[test]
fn what_was_renamed_has_its_old_name_until_that_is_synced() {
    let replace = "printf new >draft; sync draft .; mv draft old";
    let (left, lost) = after(replace);
    assert_eq!(left, files([("draft", "new"), ("old", "old")]));
    assert_eq!(lost.back, ["draft", "old"]);
    assert_eq!(after(&format!("{replace}; sync .")).0, files([("old", "new")]));
    assert_eq!(after("printf new >draft; mv draft old; sync .").0, files([("old", "")]), "its bytes were not synced");
}
