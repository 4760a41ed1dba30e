use super::*;
use crate::testing::{entry, node_key};
use proptest::prelude::*;
use skep_primitives::{DoubledBlock, Findings, Reason, Reasons, SwarmId};

const NOW: u64 = 1_700_000_000_000;

fn health() -> ChainHealth {
    ChainHealth { peers: 3, is_syncing: false, best: 102, best_time: Some(NOW - 3_000), finalized: 100 }
}

fn probed() -> Probed {
    Probed { quic: true, https: true, onion: true, instance: vec![1; 16] }
}

fn peer(number: u8, clock_offset: i64, probed: Result<Probed, String>) -> (ServiceNodeId, Result<PeerView, String>) {
    let version = Some(SoftwareVersion([0, 1, 0]));
    (node_key(number).id(), Ok(PeerView { clock_offset, version, probed }))
}

/// A node with which all is well.
fn well() -> Facts {
    let answering = Answering { https: Ok(true), quic: Ok(vec![1; 16]) };
    Facts {
        version: SoftwareVersion([0, 1, 0]),
        oldest_version: SoftwareVersion([0, 1, 0]),
        now: NOW,
        key: Ok(node_key(1).id()),
        data_dir: Ok(()),
        free_bytes: Some(100 << 30),
        store_bytes: 16 << 30,
        chain: vec![("ws://a".into(), Ok(health()))],
        doubled: vec![("ws://a".into(), Ok(None))],
        entry: Ok(Some(entry(&node_key(1), 22021, 7))),
        local: answering.clone(),
        public: Some(answering),
        peers: (2..5).map(|number| peer(number, 40, Ok(probed()))).collect(),
        audits: (2..6).map(|number| (node_key(number).id(), Ok(Report::Passing))).collect(),
    }
}

/// The check of that name once `change` is made, and the whole.
fn changed(name: &str, change: impl FnOnce(&mut Facts)) -> (Check, Diagnosis) {
    let mut facts = well();
    change(&mut facts);
    let diagnosis = Diagnosis::of(&facts);
    let check = diagnosis.checks.iter().find(|check| check.name == name).expect("a check of that name").clone();
    (check, diagnosis)
}

#[track_caller]
fn fails(name: &str, text: &str, change: impl FnOnce(&mut Facts)) {
    let (check, diagnosis) = changed(name, change);
    assert_eq!(check.level, Level::Fails, "{check:?}");
    assert!(check.found.contains(text), "{check:?}");
    assert!(check.next.is_some_and(|next| !next.is_empty()), "what to do is said");
    assert!(!diagnosis.would_pass);
}

#[track_caller]
fn warns(name: &str, text: &str, change: impl FnOnce(&mut Facts)) {
    let (check, diagnosis) = changed(name, change);
    assert_eq!(check.level, Level::Warning, "{check:?}");
    assert!(check.found.contains(text), "{check:?}");
    assert!(check.next.is_some_and(|next| !next.is_empty()), "what to do is said");
    assert!(diagnosis.would_pass, "{diagnosis}");
}

#[test]
fn a_node_with_which_all_is_well_passes() {
    let diagnosis = Diagnosis::of(&well());
    assert!(diagnosis.would_pass);
    assert!(diagnosis.checks.iter().all(|check| check.level == Level::Good && check.next.is_none()), "{diagnosis}");
    let json = serde_json::to_value(&diagnosis).expect("serializes");
    assert_eq!(json["would_pass"], true);
    assert_eq!(json["checks"][0]["level"], "good");
}

#[test]
fn what_would_fail_the_tests_is_said() {
    fails("key", "others may read", |facts| facts.key = Err("others may read the node key".into()));
    fails("data directory", "read-only", |facts| facts.data_dir = Err("read-only file system".into()));
    fails("disk", "100 MiB", |facts| facts.free_bytes = Some(100 << 20));
    fails("chain", "ws://a does not answer", |facts| facts.chain[0].1 = Err("refused".into()));
    fails("chain", "still fetching", |facts| facts.chain[0].1 = Ok(ChainHealth { is_syncing: true, ..health() }));
    fails("chain", "1000 s old", |facts| {
        facts.chain[0].1 = Ok(ChainHealth { best_time: Some(NOW - 1_000_000), ..health() });
    });
    fails("chain", "60 of 102", |facts| facts.chain[0].1 = Ok(ChainHealth { finalized: 60, ..health() }));
    fails("session keys", "key 0xabab", |facts| {
        let last = DoubledBlock { number: 90, hash: [1; 32], key: [0xab; 32] };
        facts.doubled.push(("ws://b".into(), Ok(Some(DoubledKeys { count: 2, last }))));
    });
    fails("registration", "not registered", |facts| facts.entry = Ok(None));
    fails("registration", "not complete", |facts| {
        facts.entry.as_mut().unwrap().as_mut().unwrap().state = NodeState::Gathering { expires_at: 9 };
    });
    fails("version", "0.1.0 is older", |facts| facts.oldest_version = SoftwareVersion([0, 2, 0]));
    fails("running", "not answer on this machine", |facts| facts.local.https = Err("refused".into()));
    fails("message store", "takes nothing", |facts| facts.local.https = Ok(false));
    fails("running", "not QUIC", |facts| facts.local.quic = Err("no answer".into()));
    let seen = |change: fn(&mut Probed)| {
        move |facts: &mut Facts| {
            for (_, view) in &mut facts.peers {
                change(view.as_mut().unwrap().probed.as_mut().unwrap());
            }
        }
    };
    fails("https", "0 of 3 nodes asked reach TCP 127.0.0.1:22021", seen(|probed| probed.https = false));
    fails("quic", "0 of 3 nodes asked reach UDP 127.0.0.1:22022", seen(|probed| probed.quic = false));
    fails("onion", "0 of 3", seen(|probed| probed.onion = false));
    fails("stored messages", "3 of 4 members", |facts| {
        facts.audits.iter_mut().skip(1).for_each(|(_, report)| *report = Ok(Report::Failing));
    });
    fails("clock", "31 s ahead", |facts| {
        facts.peers.iter_mut().for_each(|(_, view)| view.as_mut().unwrap().clock_offset = -30_001)
    });
    fails("clock", "40 s behind", |facts| facts.now -= 43_000);
}

#[test]
fn what_deserves_a_look_is_said_too() {
    warns("disk", "2048 MiB", |facts| facts.free_bytes = Some(2 << 30));
    warns("chain", "ws://b does not answer", |facts| facts.chain.push(("ws://b".into(), Err("refused".into()))));
    warns("registration", "ends at block 9", |facts| {
        let leaving = NodeState::Leaving { requested_at: 1, leaves_at: 9 };
        facts.entry.as_mut().unwrap().as_mut().unwrap().state = leaving;
    });
    warns("registration", "not reached over QUIC; its credit ends at block 9", |facts| {
        let findings = Findings { all: Reasons::NONE, any: Reasons::NONE.with(Reason::QuicUnreachable) };
        let state = NodeState::Decommissioned { since: 1, credit_ends_at: 9, findings, leave: None };
        facts.entry.as_mut().unwrap().as_mut().unwrap().state = state;
    });
    warns("stored messages", "1 of 4 members", |facts| facts.audits[0].1 = Ok(Report::Failing));
    // Too few to make a tester believe it.
    warns("stored messages", "2 of 2 members", |facts| {
        facts.audits.truncate(2);
        facts.audits.iter_mut().for_each(|(_, report)| *report = Ok(Report::Failing));
    });
    warns("swarm", "no swarm yet", |facts| {
        facts.entry.as_mut().unwrap().as_mut().unwrap().swarm = SwarmId::UNASSIGNED;
    });
    warns("version", "the chain says 0.0.9", |facts| {
        facts.entry.as_mut().unwrap().as_mut().unwrap().version = SoftwareVersion([0, 0, 9]);
    });
    warns("version", "newer", |facts| {
        for (_, view) in &mut facts.peers {
            view.as_mut().unwrap().version = Some(SoftwareVersion([0, 2, 0]));
        }
    });
    warns("https", "2 of 3", |facts| facts.peers[0] = peer(2, 0, Ok(Probed { https: false, ..probed() })));
    warns("clock", "6 s behind", |facts| {
        facts.peers.iter_mut().for_each(|(_, view)| view.as_mut().unwrap().clock_offset = 6_000)
    });
    warns("one machine", "another machine", |facts| {
        facts.peers[0] = peer(2, 0, Ok(Probed { instance: vec![2; 16], ..probed() }))
    });
}

#[test]
fn what_cannot_be_asked_is_no_failure() {
    let nobody = |facts: &mut Facts| facts.peers = vec![(node_key(2).id(), Err("no answer".into()))];
    let (check, diagnosis) = changed("onion", nobody);
    assert_eq!(check.level, Level::Unknown);
    assert!(diagnosis.would_pass);
    assert!(changed("https", nobody).0.found.contains("answers from here"));
    let (check, _) = changed("clock", |facts| {
        nobody(facts);
        facts.chain[0].1 = Err("refused".into());
    });
    assert_eq!(check.level, Level::Unknown);
    type Change = fn(&mut Facts);
    let silent: Change = |facts| facts.audits.iter_mut().for_each(|(_, report)| *report = Err("no answer".into()));
    let young: Change = |facts| facts.audits.iter_mut().for_each(|(_, report)| *report = Ok(Report::Unknown));
    let alone: Change = |facts| facts.audits.clear();
    let placeless: Change = |facts| {
        facts.audits.clear();
        facts.entry.as_mut().unwrap().as_mut().unwrap().swarm = SwarmId::UNASSIGNED;
    };
    for change in [silent, young, alone, placeless, |facts| facts.entry = Ok(None)] {
        assert_eq!(changed("stored messages", change).0.level, Level::Unknown);
    }
    // A chain node may be older than the question.
    let old = |facts: &mut Facts| facts.doubled = vec![("ws://a".into(), Err("is of an old version".into()))];
    let (check, diagnosis) = changed("session keys", old);
    assert_eq!((check.level, check.found.as_str()), (Level::Unknown, "ws://a is of an old version"));
    assert!(diagnosis.would_pass);
    assert_eq!(changed("session keys", |facts| facts.doubled.clear()).0.level, Level::Unknown);
    let (check, _) = changed("session keys", |facts| facts.doubled.push(("ws://b".into(), Err("is old".into()))));
    assert_eq!((check.level, check.found.contains("ws://b is old")), (Level::Good, true));
    // Those that were not reached count as members all the same.
    let (check, _) = changed("stored messages", |facts| {
        facts.audits.iter_mut().for_each(|(_, report)| *report = Err("no answer".into()));
        facts.audits[0].1 = Ok(Report::Passing);
    });
    assert_eq!((check.level, check.found.contains("1 of 4")), (Level::Good, true));
    let diagnosis = Diagnosis::without_configuration("unknown field `colour`");
    assert!(!diagnosis.would_pass && diagnosis.to_string().contains("colour"));
}

#[test]
fn a_key_that_answers_elsewhere_while_this_machine_is_silent_is_noticed() {
    let (check, _) = changed("one machine", |facts| {
        facts.local = Answering { https: Err("refused".into()), quic: Err("no answer".into()) };
    });
    assert_eq!(check.level, Level::Warning);
}

proptest! {
    #[test]
    fn one_peer_that_lies_about_the_time_changes_nothing(offset: i64) {
        let (check, _) = changed("clock", |facts| facts.peers[0] = peer(2, offset, Ok(probed())));
        prop_assert_eq!(check.level, Level::Good);
    }
}
