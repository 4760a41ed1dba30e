//! `docs/clients/http.md`, done as it says.

use std::{path::Path, process::Command};

const PAGE: &str = include_str!("../../../../docs/clients/http.md");

/// Ends the output of one block.
const END: char = '\u{1e}';

/// A fenced block: its language with whatever stands behind, and its lines.
struct Block<'a> {
    kind: &'a str,
    text: &'a str,
}

/// Runs every `sh` block of the page in one shell, and compares what each prints with the `text` block that follows it.
pub(crate) fn check(dir: &Path) {
    let blocks = blocks(PAGE);
    let mut script = String::from("set -euo pipefail\n");
    let mut expected = Vec::new();
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.kind == "sh") {
        script.push_str(&format!("{}printf '\\036'\n", block.text));
        let following = blocks.get(number + 1).filter(|block| block.kind == "text");
        expected.push((block.text, following.map_or("", |block| block.text)));
    }
    let output = Command::new("bash").args(["-c", &script]).current_dir(dir).output().expect("bash runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let printed: Vec<_> = stdout.split_terminator(END).collect();
    for (number, (command, text)) in expected.iter().enumerate() {
        assert_eq!(printed.get(number), Some(text), "docs/clients/http.md, of\n{command}\n{stderr}");
    }
    assert!(output.status.success(), "{stderr}");
    assert!(expected.len() > 10, "the page has its blocks");
}

/// Runs a mailbox command against one node, then a shell test of what it gave: `leave TEXT FAILED`, until so many members fail
/// (a busy machine may keep others from answering in time), or `read` (into the file `mail`, one message a line). The account is
/// the one the page made.
pub(crate) fn script(dir: &Path, command: &str, node: &str, test: &str) {
    let script = format!("set -euo pipefail\nNODE={node}\n{MAILBOX}\n{command}\n{test}\n");
    let output = Command::new("bash").args(["-c", &script]).current_dir(dir).output().expect("bash runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let seen = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    let seen = [seen("stored.json"), seen("mail")].join("\n");
    assert!(output.status.success(), "{command} at {node}, {test}: {stderr}\n{seen}");
}

const MAILBOX: &str = r#"
ACCOUNT=03$(openssl pkey -in account.pem -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \n')
NOW=$(date +%s%3N)
rpc() { curl -sSk "$NODE/storage_rpc/v1" -d "$1"; }
leave() {
    local store
    store=$(jq -n --arg account "$ACCOUNT" --arg data "$(printf '%s' "$1" | base64)" --argjson now "$NOW" \
        '{method: "store", params: {pubkey: $account, timestamp: $now, ttl: 3600000, data: $data}}')
    # Storing it once more changes nothing where it is.
    for _ in {1..60}; do
        rpc "$store" > stored.json
        [ "$(members_failed)" = "$2" ] && return
        sleep 1
    done
    return 1
}
members_failed() { jq '[.swarm[] | select(.failed)] | length' stored.json; }
read() {
    printf 'retrieve%s' "$NOW" > signed
    local signature
    signature=$(openssl pkeyutl -sign -inkey account.pem -rawin -in signed | base64 -w0)
    rpc "$(jq -n --arg account "$ACCOUNT" --arg signature "$signature" --argjson now "$NOW" \
        '{method: "retrieve", params: {pubkey: $account, timestamp: $now, signature: $signature}}')" \
        | jq -r '.messages[].data | @base64d' > mail
}
"#;

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (kind, after) = after.split_once('\n').expect("a fence ends its line");
        let end = if after.starts_with("```") { 0 } else { after.find("\n```").expect("a block is closed") + 1 };
        let (text, after) = after.split_at(end);
        blocks.push(Block { kind, text });
        rest = after.strip_prefix("```").expect("found above");
    }
    blocks
}
