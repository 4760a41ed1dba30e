//! The program as people and programs run it: what is answered, what fails how.

use serde_json::Value;
use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

const PHRASE_WORDS: usize = 13;

/// Runs `skep` in `home`, with nothing of the caller's environment that it reads.
fn skep(home: &Path, passphrase: Option<&str>, arguments: &[&str], input: &str) -> Output {
    skep_with(home, passphrase, arguments, input, &[])
}

/// The same with more in the environment; an empty value takes something out of it.
fn skep_with(
    home: &Path,
    passphrase: Option<&str>,
    arguments: &[&str],
    input: &str,
    environment: &[(&str, &str)],
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    for variable in [
        "SKEP_HOME",
        "SKEP_ACCOUNT",
        "SKEP_CHAIN",
        "SKEP_CHECKPOINT",
        "SKEP_PASSPHRASE",
        "SKEP_NEW_PASSPHRASE",
        "SKEP_PROXY",
        "SKEP_STAKER",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    // Nobody listens on port 1.
    command.env("SKEP_HOME", home).env("SKEP_CHAIN", "ws://127.0.0.1:1").env("SKEP_TRUST_CHAIN", "1").args(arguments);
    for (name, value) in environment {
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    if let Some(passphrase) = passphrase {
        command.env("SKEP_PASSPHRASE", passphrase);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    // A program that does not read its input may be gone by now.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("ends")
}

/// The one JSON object on standard output of a command that succeeded.
fn answer(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let text = str::from_utf8(&output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).expect("JSON")
}

/// Kind and text of the failure on standard error; nothing is on standard output.
fn failure(output: &Output, code: i32) -> (String, String) {
    let errors = str::from_utf8(&output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(output.stdout.is_empty());
    let json: Value = serde_json::from_str(errors).expect("JSON");
    let text = |field: &str| json[field].as_str().expect("text").to_owned();
    assert_eq!(json["kept"], false, "nothing is kept without a contact");
    (text("kind"), text("error"))
}

#[test]
fn an_account_is_made_shown_and_restored() {
    let directory = TempDir::new().expect("made");
    let home = directory.path().join("one");
    let made = answer(&skep(&home, Some("secret"), &["account", "new", "--name", "Ada", "--json"], ""));
    let account = made["account"].as_str().expect("text");
    let phrase = made["phrase"].as_str().expect("text");
    assert!(account.len() == 66 && account.starts_with("05"), "{account}");
    assert_eq!((made["name"].as_str(), phrase.split(' ').count()), (Some("Ada"), PHRASE_WORDS));

    let shown = answer(&skep(&home, Some("secret"), &["account", "show", "--json"], ""));
    assert_eq!((&shown["account"], &shown["name"]), (&made["account"], &made["name"]));
    assert!(shown.get("phrase").is_none());

    let other = directory.path().join("two");
    let arguments = ["account", "restore", "--name", "Ada II", "--json"];
    let restored = answer(&skep(&other, Some("other"), &arguments, phrase));
    assert_eq!((&restored["account"], restored["name"].as_str()), (&made["account"], Some("Ada II")));

    let text = skep(&other, Some("other"), &["account", "show"], "");
    assert!(String::from_utf8_lossy(&text.stdout).contains(account));
}

#[test]
fn a_wrong_word_is_named() {
    let home = TempDir::new().expect("made");
    let phrase = "abbey zzyzx abducts ability ablaze abnormal abort abrasive absorb abyss academy aces aching";
    let output = skep(home.path(), Some("secret"), &["account", "restore", "--name", "Ada", "--json"], phrase);
    let (kind, error) = failure(&output, 2);
    assert_eq!(kind, "usage");
    assert!(error.contains("word 2") && error.contains("zzyzx"), "{error}");
    // Nothing was made.
    let (kind, error) = failure(&skep(home.path(), Some("secret"), &["account", "show", "--json"], ""), 3);
    assert_eq!(kind, "account");
    assert!(error.contains("account new"), "{error}");
}

#[test]
fn failures_have_their_codes_and_say_what_to_do() {
    let home = TempDir::new().expect("made");
    let home = home.path();
    answer(&skep(home, Some("secret"), &["account", "new", "--name", "Ada", "--json"], ""));
    let fails = |passphrase, arguments: &[&str], code, hint: &str| {
        let output = skep(home, passphrase, &[arguments, &["--json"]].concat(), "");
        let (_, error) = failure(&output, code);
        assert!(error.contains(hint), "{arguments:?}: {error}");
    };
    fails(Some("Secret"), &["account", "show"], 3, "wrong passphrase");
    fails(None, &["account", "show"], 3, "SKEP_PASSPHRASE");
    fails(Some(""), &["account", "show"], 2, "passphrase is empty");
    fails(Some("secret"), &["account", "new", "--name", "Eve"], 3, "already");
    fails(Some("secret"), &["send", "Bob", "hi"], 2, "no contact is called");
    fails(Some("secret"), &["receive"], 4, "ws://127.0.0.1:1");
    let stranger = format!("05{}", "ab".repeat(32));
    fails(Some("secret"), &["contact", "request", &stranger], 4, "ws://127.0.0.1:1");
    fails(None, &["nodes", "list"], 4, "start one, or name others");
    fails(None, &["nodes", "swarm", &stranger], 4, "no chain node answers");
}

#[test]
fn wrong_usage_is_refused_before_anything_is_done() {
    let home = TempDir::new().expect("made");
    for arguments in [
        &["account", "new"][..],
        &["account", "new", "--name", " "],
        &["contact", "request", "05abc"],
        &["send", "Bob"],
        &["receive", "--chain-url", "http://example.org"],
        &["frobnicate"],
    ] {
        let output = skep(home.path(), Some("secret"), arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let (kind, error) = failure(&skep(home.path(), Some("secret"), &[arguments, &["--json"]].concat(), ""), 2);
        assert!(kind == "usage" && !error.starts_with("error"), "{arguments:?}: {error}");
    }
    // Help is no failure, whoever asks.
    assert_eq!(skep(home.path(), None, &["--json", "send", "--help"], "").status.code(), Some(0));
    assert_eq!(std::fs::read_dir(home.path()).expect("there").count(), 0);
}

#[test]
fn contacts_are_listed_one_a_line_and_none_at_first() {
    let home = TempDir::new().expect("made");
    answer(&skep(home.path(), Some("secret"), &["account", "new", "--name", "Ada", "--json"], ""));
    let output = skep(home.path(), Some("secret"), &["contact", "list", "--json"], "");
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0));
}

#[test]
fn notes_to_oneself_stay_here_and_are_answered_and_unsent() {
    let directory = TempDir::new().expect("made");
    let home = directory.path();
    let run = |arguments: &[&str], input: &str| skep(home, Some("secret"), &[arguments, &["--json"]].concat(), input);
    answer(&run(&["account", "new", "--name", "Ada"], ""));
    let first = answer(&run(&["send", "self", "buy milk"], ""))["id"].as_str().expect("text").to_owned();
    answer(&run(&["send", "self", "-", "--reply-to", &first[..6]], "and bread\n"));
    let (_, error) = failure(&run(&["send", "self", "x", "--reply-to", "zz"], ""), 2);
    assert!(error.contains("names no message"), "{error}");
    let history = || {
        let output = run(&["history", "self"], "");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>()
    };
    let messages = history();
    assert_eq!((&messages[0]["text"], &messages[0]["state"]), (&"buy milk".into(), &"note".into()));
    assert_eq!((&messages[1]["text"], &messages[1]["reply_to"]), (&"and bread".into(), &first.as_str().into()));
    answer(&run(&["unsend", "self", &first], ""));
    assert!(history()[0]["text"].is_null());
    let (_, error) = failure(&run(&["unsend", "self", &first], ""), 1);
    assert!(error.contains("still there"), "{error}");
    // The export has the same.
    assert_eq!(run(&["history", "--all"], "").stdout, run(&["history", "self"], "").stdout);
}

#[test]
fn one_home_has_room_for_several_accounts_and_backups() {
    let directory = TempDir::new().expect("made");
    let home = directory.path().join("home");
    let run = |arguments: &[&str]| skep(&home, Some("secret"), &[arguments, &["--json"]].concat(), "");
    let unnamed = answer(&run(&["account", "new", "--name", "Ada"]));
    let work = answer(&run(&["account", "new", "--name", "Ada at work", "--account", "work"]));
    assert_ne!(unnamed["account"], work["account"]);
    let text = String::from_utf8(run(&["account", "list"]).stdout).expect("UTF-8");
    let names: Vec<_> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["name"].clone()).collect();
    assert_eq!(names, [Value::Null, "work".into()]);
    assert_eq!(run(&["account", "show", "--account", "../work"]).status.code(), Some(2));

    let set = ["account", "set", "--read-receipts", "off", "--presence", "off", "--account", "work"];
    let changed = answer(&run(&set));
    assert_eq!((&changed["read_receipts"], &changed["typing"]), (&false.into(), &true.into()));
    assert_eq!(changed["presence"], false);
    answer(&run(&["send", "self", "kept", "--account", "work"]));
    let file = directory.path().join("work.backup");
    let file = file.to_str().expect("UTF-8");
    answer(&run(&["account", "backup", file, "--account", "work"]));
    failure(&run(&["account", "backup", file, "--account", "work"]), 3);
    let again = answer(&run(&["account", "restore-backup", file, "--account", "again"]));
    assert_eq!((&again["account"], &again["read_receipts"]), (&work["account"], &false.into()));
    assert_eq!(answer(&run(&["history", "self", "--account", "again"]))["text"], "kept");
}

#[test]
fn chat_needs_a_terminal_and_says_what_does_not() {
    let home = TempDir::new().expect("made");
    answer(&skep(home.path(), Some("secret"), &["account", "new", "--name", "Ada", "--json"], ""));
    let (kind, error) = failure(&skep(home.path(), Some("secret"), &["chat", "--json"], ""), 2);
    assert!(kind == "usage" && error.contains("listen"), "{error}");
}

#[test]
fn completions_and_manual_know_every_command() {
    let home = TempDir::new().expect("made");
    for arguments in [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]] {
        let output = skep(home.path(), None, arguments, "");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        for command in ["history", "unsend", "listen", "restore", "disappear"] {
            assert!(text.contains(command), "{arguments:?} lacks {command}");
        }
    }
    assert_eq!(skep(home.path(), None, &["completions", "cobol"], "").status.code(), Some(2));
}

#[test]
fn every_command_explains_itself() {
    let home = TempDir::new().expect("made");
    for command in [
        &[][..],
        &["account"],
        &["contact"],
        &["send"],
        &["unsend"],
        &["history"],
        &["receive"],
        &["nodes"],
        &["stake"],
        &["devnet"],
    ] {
        let output = skep(home.path(), None, &[command, &["--help"]].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        for part in ["Usage:", "--json", "--home", "--chain-url", "SKEP_CHAIN"] {
            assert!(text.contains(part), "{command:?} lacks {part}");
        }
    }
}

#[test]
fn a_roster_is_not_believed_without_a_reason() {
    let home = tempfile::tempdir().expect("creates");
    let file = home.path().join("checkpoint.json");
    let verify = |checkpoint: &Path| {
        let checkpoint = checkpoint.to_str().expect("UTF-8");
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        command.env_remove("SKEP_TRUST_CHAIN").env("SKEP_HOME", home.path()).env("SKEP_CHAIN", "ws://127.0.0.1:1");
        command.env_remove("SKEP_CHECKPOINT").args(["--json", "nodes", "verify"]);
        if !checkpoint.is_empty() {
            command.args(["--checkpoint", checkpoint]);
        }
        let output = command.output().expect("ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = verify(Path::new(""));
    assert!(code == Some(2) && error.contains("--checkpoint FILE") && error.contains("--trust-chain"), "{error}");
    let (code, error) = verify(&file);
    assert!(code == Some(2) && error.contains("cannot read the checkpoint"), "{error}");
    std::fs::write(&file, "{}").expect("writes");
    let (code, error) = verify(&file);
    assert!(code == Some(2) && error.contains("is no checkpoint"), "{error}");
    let hash = format!("0x{}", "01".repeat(32));
    let checkpoint = serde_json::json!({
        "genesis": hash, "number": 0, "hash": hash, "set_id": 0, "time": 0, "believed_for": 1,
        "authorities": [{ "key": hash, "weight": 1 }],
    });
    std::fs::write(&file, checkpoint.to_string()).expect("writes");
    let (code, error) = verify(&file);
    assert!(code == Some(4) && error.contains("authorities are believed for 0 s only"), "{error}");
}

#[test]
fn an_account_takes_another_passphrase_and_a_keyring_that_is_not_there_is_told() {
    let home = TempDir::new().expect("made");
    let home = home.path();
    answer(&skep(home, Some("secret"), &["account", "new", "--name", "Ada", "--json"], ""));
    // Nobody is on this bus.
    let no_bus = [("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")];
    for arguments in
        [&["account", "lock", "keyring"][..], &["account", "new", "--keyring", "--name", "Eve", "--account", "eve"]]
    {
        let output = skep_with(home, Some("secret"), &[arguments, &["--json"]].concat(), "", &no_bus);
        let (kind, error) = failure(&output, 3);
        assert!(kind == "account" && error.contains("the keyring cannot be used"), "{error}");
    }
    // Nothing has changed, and nothing was made.
    answer(&skep(home, Some("secret"), &["account", "show", "--json"], ""));
    failure(&skep(home, Some("secret"), &["account", "show", "--account", "eve", "--json"], ""), 3);

    let another = [("SKEP_NEW_PASSPHRASE", "another")];
    let locked = answer(&skep_with(home, Some("secret"), &["account", "lock", "passphrase", "--json"], "", &another));
    assert_eq!(locked["locked_by"], "passphrase");
    failure(&skep(home, Some("secret"), &["account", "show", "--json"], ""), 3);
    answer(&skep(home, Some("another"), &["account", "show", "--json"], ""));
    // Whose home names an entry of a keyring that is gone learns why it does not open.
    std::fs::write(home.join("keyring"), "entry").expect("written");
    let (_, error) = failure(&skep_with(home, None, &["account", "show", "--json"], "", &no_bus), 3);
    assert!(error.contains("the keyring cannot be used"), "{error}");
}

#[test]
fn the_network_is_configured_in_a_file_that_options_and_environment_override() {
    let home = TempDir::new().expect("made");
    let home = home.path();
    let guide = |arguments: &[&str]| {
        skep_with(home, None, &[&["guide", "--json"], arguments].concat(), "", &[("SKEP_CHAIN", "")])
    };
    assert_eq!(answer(&guide(&[]))["chain"], "ws://127.0.0.1:9944");
    std::fs::write(home.join("config.toml"), "chain = \"ws://127.0.0.1:2\"\n").expect("written");
    let told = answer(&guide(&[]));
    assert_eq!((&told["chain"], &told["account"]), (&"ws://127.0.0.1:2".into(), &false.into()));
    assert_eq!(answer(&guide(&["--chain-url", "ws://127.0.0.1:3"]))["chain"], "ws://127.0.0.1:3");
    // Nobody is behind this proxy, and nothing goes around it.
    std::fs::write(home.join("config.toml"), "proxy = \"socks5h://127.0.0.1:1\"\n").expect("written");
    let (_, error) = failure(&skep(home, None, &["nodes", "list", "--json"], ""), 4);
    assert!(error.contains("the proxy"), "{error}");
    for (wrong, hint) in
        [("proxy = \"http://127.0.0.1:1\"", "socks5h://"), ("chian = \"ws://a\"", "chian"), ("=", "config.toml")]
    {
        std::fs::write(home.join("config.toml"), wrong).expect("written");
        let (_, error) = failure(&skep(home, None, &["guide", "--json"], ""), 2);
        assert!(error.contains(hint), "{error}");
    }
    assert_eq!(skep(home, None, &["guide", "--proxy", "127.0.0.1:9050"], "").status.code(), Some(2));
}

#[test]
fn first_steps_are_told_and_nothing_is_coloured_without_a_terminal() {
    let home = TempDir::new().expect("made");
    let home = home.path();
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).expect("UTF-8");
    let guide = skep(home, None, &["guide"], "");
    assert!(text(&guide).contains("skep account new") && text(&guide).contains("skep contact request"));
    let made = skep(home, Some("secret"), &["account", "new", "--name", "Ada"], "");
    assert!(text(&made).contains("skep contact request") && text(&made).contains("skep chat"));
    let debug = [("RUST_LOG", "trace")];
    let logged = skep_with(home, Some("secret"), &["receive"], "", &debug);
    assert_eq!(logged.status.code(), Some(4));
    assert!(!logged.stderr.is_empty() && !logged.stderr.contains(&0x1b));
}

#[test]
fn an_option_goes_before_the_environment() {
    let home = TempDir::new().expect("made");
    let missing = home.path().join("missing.json");
    let missing = missing.to_str().expect("UTF-8");
    let list = |arguments: &[&str], environment: &[(&str, &str)], code| {
        let output = skep_with(home.path(), None, &[&["--json", "nodes", "list"], arguments].concat(), "", environment);
        failure(&output, code).1
    };
    // Nobody listens there: the chain was to be believed, or the file was to be read first.
    let believes = |error: &str| error.contains("ws://127.0.0.1:1");
    let reads = |error: &str| error.contains("missing.json");
    let verify = |arguments: &[&str], environment: &[(&str, &str)], code| {
        let arguments = [&["--json", "nodes", "verify"], arguments].concat();
        failure(&skep_with(home.path(), None, &arguments, "", environment), code).1
    };
    assert!(reads(&verify(&["--checkpoint", missing], &[("SKEP_TRUST_CHAIN", "1")], 2)));
    assert!(reads(&verify(&["--checkpoint", missing], &[("SKEP_TRUST_CHAIN", "0")], 2)));
    assert!(reads(&verify(&[], &[("SKEP_TRUST_CHAIN", "no"), ("SKEP_CHECKPOINT", missing)], 2)));
    let both = [("SKEP_TRUST_CHAIN", "1"), ("SKEP_CHECKPOINT", missing)];
    assert!(verify(&[], &both, 2).contains("contradict"));
    assert!(believes(&list(&["--trust-chain"], &both, 4)));
    assert!(verify(&[], &[("SKEP_TRUST_CHAIN", "perhaps")], 2).contains("1 or 0"));
    assert!(verify(&["--trust-chain", "--checkpoint", missing], &[], 2).contains("cannot be used with"));

    // A key file goes before the secret of the environment; two options contradict each other.
    let status = |arguments: &[&str], code| {
        let arguments = [&["--json", "stake", "status"], arguments].concat();
        failure(&skep_with(home.path(), None, &arguments, "", &[("SKEP_STAKER", "no secret")]), code).1
    };
    assert!(reads(&status(&["--key-file", missing], 3)));
    assert!(!reads(&status(&[], 3)));
    assert!(status(&["--suri", "//Alice", "--key-file", missing], 2).contains("cannot be used with"));
}

#[test]
fn help_shows_no_secret() {
    let home = TempDir::new().expect("made");
    let secrets = [("SKEP_PROXY", "socks5h://me:hunter2@127.0.0.1:9050"), ("SKEP_STAKER", "hunter2")];
    for command in ["send", "stake"] {
        let output = skep_with(home.path(), None, &[command, "--help"], "", &secrets);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(text.contains("SKEP_PROXY") && !text.contains("hunter2"), "{text}");
    }
}
