//! The command line as operators use it.

use serde_json::Value;
use skep_mailbox::{Change, Order, Record, RocksStore, Store};
use skep_messaging::config::EXAMPLE;
use skep_proto::{
    account::AccountAddress,
    storage::{Namespace, StoreRequest},
};
use std::{
    error::Error,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

fn run(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_skep-messaging")).args(arguments).output()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn keys_and_configurations() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (key, config) = (directory.path().join("node.key"), directory.path().join("node.toml"));
    let made = run(&["keygen", "--out", path(&key)])?;
    assert!(made.status.success());
    let id = String::from_utf8(made.stdout)?;
    assert_eq!(id.trim().len(), 64);
    let again = run(&["keygen", "--out", path(&key)])?;
    assert!(!again.status.success(), "an existing key is not overwritten");

    assert_eq!(String::from_utf8(run(&["config"])?.stdout)?.trim(), EXAMPLE.trim());
    fs::write(&config, format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n", path(directory.path())))?;
    let checked = run(&["check-config", "--config", path(&config)])?;
    assert!(String::from_utf8(checked.stdout)?.contains(id.trim()));

    fs::write(&config, "chain = [\"ws://127.0.0.1:1\"]\ncolour = 1\n")?;
    let refused = run(&["check-config", "--config", path(&config)])?;
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr)?.contains("colour"));
    Ok(())
}

#[test]
fn a_node_without_a_chain_waits_and_stops_when_told() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (key, config) = (directory.path().join("node.key"), directory.path().join("node.toml"));
    run(&["keygen", "--out", path(&key)])?;
    fs::write(&config, format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n", path(directory.path())))?;
    let mut node = Command::new(env!("CARGO_BIN_EXE_skep-messaging"))
        .args(["run", "--config", path(&config)])
        .stderr(Stdio::null())
        .spawn()?;
    let started = Instant::now();
    while !directory.path().join("messages/CURRENT").exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "the store should have been opened");
        sleep(Duration::from_millis(20));
    }
    assert!(node.try_wait()?.is_none(), "it waits");
    Command::new("kill").args(["-TERM", &node.id().to_string()]).status()?;
    assert!(node.wait()?.success());
    Ok(())
}

fn deposit(number: u8) -> Record {
    Record::new(StoreRequest {
        account: AccountAddress::from_x25519([number % 2; 32]),
        namespace: Namespace::DEFAULT,
        timestamp: 1,
        expiry: u64::MAX / 2,
        data: vec![number; 1000],
        auth: None,
        work: None,
    })
}

#[test]
fn the_store_of_a_stopped_node_is_looked_after() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (config, messages) = (directory.path().join("node.toml"), directory.path().join("messages"));
    fs::write(&config, format!("chain = [\"ws://127.0.0.1:1\"]\ndata_dir = {:?}\n", path(directory.path())))?;
    let db = |command: &str| run(&["db", command, "--json", "--config", path(&config)]);
    let answer = |output: Output| -> Result<(Option<i32>, Value), Box<dyn Error>> {
        Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
    };

    let none = db("verify")?;
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8(none.stderr)?.contains("there is no message store"));
    assert!(!messages.exists(), "looking makes nothing");

    let store = RocksStore::open(&messages, u64::MAX)?;
    store.put(&(0..10).map(deposit).collect::<Vec<_>>(), 0)?;
    store.sync()?;
    for command in ["stats", "verify", "compact"] {
        let running = db(command)?;
        assert_eq!(running.status.code(), Some(1), "{command}");
        assert!(String::from_utf8(running.stderr)?.contains("in use by a running node"), "{command}");
    }
    drop(store);

    let (code, stats) = answer(db("stats")?)?;
    assert_eq!((code, &stats["messages"], &stats["accounts"]), (Some(0), &10.into(), &2.into()));
    let (code, verified) = answer(db("verify")?)?;
    assert_eq!((code, &verified["sound"], &verified["message_bytes"]), (Some(0), &true.into(), &10_000.into()));
    let (code, compacted) = answer(db("compact")?)?;
    assert_eq!(code, Some(0));
    assert!(compacted["file_bytes"].as_u64().is_some_and(|bytes| bytes > 0));

    // Nobody could have given this order: it is none.
    let store = RocksStore::open(&messages, u64::MAX)?;
    let account = AccountAddress::from_x25519([1; 32]);
    let order = Order { account, signature: [9; 64], request: b"{}".to_vec(), at: 1 };
    store.change(&Change::Delete { account, messages: Vec::new(), until: 1 }, Some(&order), 0)?;
    store.sync()?;
    drop(store);
    let (code, verified) = answer(db("verify")?)?;
    assert_eq!((code, &verified["sound"], &verified["faults"]), (Some(3), &false.into(), &1.into()));
    assert!(verified["first_faults"][0].as_str().is_some_and(|fault| fault.contains("order")));
    Ok(())
}
