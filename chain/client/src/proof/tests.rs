//! A chain of four authorities made by hand: what an honest chain node sends, and every way to lie about it.

use super::{
    state::{StateReader, blake2_256},
    *,
};
use codec::{Compact, Encode};
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use skep_primitives::{
    Authority, Endpoint, HeadProof, NodeState, Permyriad, ROSTER_TRIE, RecordedStake, RosterProof, RosterRecord,
    SWARMS_TRIE, ServiceNodeId, SoftwareVersion, StakerId, SwarmId,
};
use smoldot::trie::{
    HashFunction, Nibble, TrieEntryVersion, bytes_to_nibbles, default_child_trie_root_key, trie_node, trie_root,
};
use std::collections::BTreeMap;

const NOW: Moment = 1_700_000_000_000;
const DAY: Moment = 24 * 60 * 60 * 1_000;

fn authority(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn set(numbers: &[u8]) -> Vec<Authority> {
    numbers.iter().map(|number| Authority { key: authority(*number).verifying_key().to_bytes(), weight: 1 }).collect()
}

/// A trie, and its nodes as the database has them.
struct Trie {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Trie {
    fn new(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    fn root(&self) -> [u8; 32] {
        let entries: Vec<_> = self.entries.iter().collect();
        trie_root(TrieEntryVersion::V1, HashFunction::Blake2, &entries)
    }

    fn nodes(&self) -> Vec<Vec<u8>> {
        let entries: Vec<(Vec<Nibble>, &[u8])> = self
            .entries
            .iter()
            .map(|(key, value)| (bytes_to_nibbles(key.iter().copied()).collect(), value.as_slice()))
            .collect();
        let mut nodes = Vec::new();
        let root = subtrie(&entries, 0, &mut nodes);
        nodes.push(root);
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// The nodes on the way to these keys.
    fn prove(&self, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let all = self.nodes();
        let on_the_way = |node: &Vec<u8>| {
            let others: Vec<_> = all.iter().filter(|other| *other != node).cloned().collect();
            let mut reader = StateReader::new(self.root(), &others).expect("small");
            keys.iter().any(|key| reader.read(key).is_err())
        };
        all.iter().filter(|node| on_the_way(node)).cloned().collect()
    }
}

/// The node that holds these entries, which share their first `depth` nibbles; those below it go to `nodes`.
fn subtrie(entries: &[(Vec<Nibble>, &[u8])], depth: usize, nodes: &mut Vec<Vec<u8>>) -> Vec<u8> {
    let (first, value) = &entries[0];
    let last = &entries[entries.len() - 1].0;
    let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let (own, below) = if first.len() == shared { (Some(*value), &entries[1..]) } else { (None, entries) };
    let children = std::array::from_fn(|nibble| {
        let child: Vec<_> = below.iter().filter(|(key, _)| usize::from(key[shared]) == nibble).cloned().collect();
        let node = (!child.is_empty()).then(|| subtrie(&child, shared + 1, nodes))?;
        if node.len() < 32 {
            return Some(node);
        }
        let hash = blake2_256(&node).to_vec();
        nodes.push(node);
        Some(hash)
    });
    let hash;
    let storage_value = match own {
        None => trie_node::StorageValue::None,
        Some(value) if value.len() < 33 => trie_node::StorageValue::Unhashed(value),
        Some(value) => {
            nodes.push(value.to_vec());
            hash = blake2_256(value);
            trie_node::StorageValue::Hashed(&hash)
        }
    };
    let partial_key = first[depth..shared].iter().copied();
    trie_node::encode_to_vec(trie_node::Decoded { partial_key, children, storage_value }).expect("a node")
}

/// A header in SCALE; with `next` it changes the authorities.
fn header(parent: BlockHash, number: BlockNumber, state_root: [u8; 32], next: Option<&[Authority]>) -> Vec<u8> {
    let digest: Vec<Vec<u8>> = next
        .map(|next| {
            let list: Vec<_> = next.iter().map(|authority| (authority.key, authority.weight)).collect();
            (4u8, *b"FRNK", (1u8, list, 0u32).encode()).encode()
        })
        .into_iter()
        .collect();
    let count = Compact(u32::try_from(digest.len()).expect("few"));
    let mut bytes = (parent, Compact(number), state_root, [0u8; 32], count).encode();
    bytes.extend(digest.concat());
    bytes
}

/// What these authorities of set `set_id` sign for a block.
fn justification(number: BlockNumber, hash: BlockHash, set_id: u64, signers: &[u8]) -> Vec<u8> {
    let round = 5u64;
    let precommits: Vec<_> = signers
        .iter()
        .map(|signer| {
            let key = authority(*signer);
            let message = (1u8, hash, number, round, set_id).encode();
            (hash, number, key.sign(&message).to_bytes(), key.verifying_key().to_bytes())
        })
        .collect();
    (round, hash, number, precommits, Compact(0u32)).encode()
}

fn page(fragments: &[(Vec<u8>, Vec<u8>)], is_finished: bool) -> Vec<u8> {
    let count = Compact(u32::try_from(fragments.len()).expect("few"));
    let mut bytes = count.encode();
    for (header, justification) in fragments {
        bytes.extend(header);
        bytes.extend(justification);
    }
    bytes.push(is_finished.into());
    bytes
}

fn record(number: u8) -> RosterRecord {
    RosterRecord {
        operator: StakerId([number; 32]),
        fee: Permyriad::default(),
        stakes: vec![RecordedStake { staker: StakerId([number; 32]), amount: 100, since: 1, leaves_at: None }],
        reserved: Vec::new(),
        requirement: 100,
        endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port: 22_021, quic_port: 22_020 },
        version: SoftwareVersion([0, 1, 0]),
        state: NodeState::Active { since: 2 },
        registered_at: 1,
    }
}

fn id(number: u8) -> ServiceNodeId {
    ServiceNodeId([number.wrapping_mul(37); 32])
}

/// Genesis by authorities 1 to 4; block 10, an epoch boundary, hands over to 5 to 8; block 14 is the head.
struct Chain {
    checkpoint: Checkpoint,
    warp: Vec<u8>,
    head: Vec<u8>,
    roster: Vec<u8>,
}

impl Chain {
    fn new(nodes: u8) -> Self {
        let nodes: BTreeMap<_, _> = (1..=nodes).map(|number| (id(number), record(number).encode())).collect();
        let swarms: BTreeMap<_, _> = nodes.keys().map(|node| (*node, SwarmId(u64::from(node.0[0]) % 2))).collect();
        let roster_trie = Trie::new(nodes.iter().map(|(node, record)| (node.0.to_vec(), record.clone())));
        let swarms_trie = Trie::new(swarms.iter().map(|(node, swarm)| (node.0.to_vec(), swarm.encode())));
        let mut state = BTreeMap::from([(b":code".to_vec(), vec![7; 400]), (keys::value("A", "B"), vec![1])]);
        for (name, trie) in [(ROSTER_TRIE, &roster_trie), (SWARMS_TRIE, &swarms_trie)] {
            if !trie.entries.is_empty() {
                state.insert(default_child_trie_root_key(name), trie.root().to_vec());
            }
        }
        let boundary_state = Trie::new(state);
        let successors = set(&[5, 6, 7, 8]);
        let boundary = header([9; 32], 10, boundary_state.root(), Some(&successors));
        let boundary_hash = blake2_256(&boundary);
        let head_state = Trie::new([
            (keys::value("Timestamp", "Now"), (NOW - 5_000).encode()),
            (keys::value("Babe", "EpochStart"), (0u32, 10u32).encode()),
            (keys::block_hash(10), boundary_hash.encode()),
            (keys::block_hash(9), [9u8; 32].encode()),
            (b":code".to_vec(), vec![7; 400]),
        ]);
        let head = header([13; 32], 14, head_state.root(), None);
        let head_hash = blake2_256(&head);
        let warp = page(
            &[
                (boundary.clone(), justification(10, boundary_hash, 0, &[1, 2, 3])),
                (head, justification(14, head_hash, 1, &[5, 6, 7, 8])),
            ],
            true,
        );
        let head_keys = [keys::value("Timestamp", "Now"), keys::value("Babe", "EpochStart"), keys::block_hash(10)];
        let roots = [ROSTER_TRIE, SWARMS_TRIE].map(default_child_trie_root_key);
        let proof = RosterProof {
            header: boundary,
            state: boundary_state.prove(&roots),
            nodes: nodes.into_iter().collect(),
            swarms: swarms.into_iter().collect(),
        };
        let checkpoint = Checkpoint {
            genesis: [1; 32],
            number: 0,
            hash: [1; 32],
            set_id: 0,
            authorities: set(&[1, 2, 3, 4]).try_into().expect("a set"),
            time: NOW - DAY,
            believed_for: Some(15 * DAY),
        };
        let head = HeadProof { state: head_state.prove(&head_keys) }.encode();
        Self { checkpoint, warp, head, roster: proof.encode() }
    }

    fn proof(&self) -> RosterProof {
        RosterProof::decode_all(&mut &self.roster[..]).expect("ours")
    }

    /// The whole way.
    fn verify(&self) -> Result<usize, String> {
        let followed = follow(&self.checkpoint, &self.warp, [3; 32]).map_err(|error| error.to_string())?;
        let block = followed.block.filter(|_| followed.is_finished).ok_or("nothing is final")?;
        let head = read_head(&block, &self.head).map_err(|error| error.to_string())?;
        let snapshot = read_roster(&head, &self.roster).map_err(|error| error.to_string())?;
        Ok(snapshot.nodes.len())
    }
}

#[test]
fn the_chains_roster_passes() {
    let chain = Chain::new(12);
    let followed = follow(&chain.checkpoint, &chain.warp, [3; 32]).expect("final");
    assert!(followed.is_finished);
    let block = followed.block.expect("a head");
    let made = &followed.checkpoint;
    assert_eq!((made.number, made.hash, made.set_id), (14, block.hash, 1));
    assert_eq!(Vec::from(made.authorities.clone()), set(&[5, 6, 7, 8]));
    let head = read_head(&block, &chain.head).expect("proven");
    assert_eq!((head.number, head.time, head.boundary), (14, NOW - 5_000, 10));
    let snapshot = read_roster(&head, &chain.roster).expect("whole");
    assert_eq!((snapshot.height, snapshot.block_hash, snapshot.nodes.len()), (10, head.boundary_hash, 12));
    assert!(snapshot.nodes.is_sorted_by(|a, b| a.id < b.id));
    for node in &snapshot.nodes {
        assert_eq!(node.swarm, SwarmId(u64::from(node.id.0[0]) % 2));
        assert_eq!(node.contributions.len(), 1);
    }
    // What was proven is the next checkpoint: from there the same head is known already.
    let again = follow(made, &page(&[fragment(&chain.warp, 1)], true), [3; 32]).expect("known");
    assert_eq!((again.block, &again.checkpoint), (Some(block), made));
}

/// One fragment of a page.
fn fragment(page: &[u8], index: usize) -> (Vec<u8>, Vec<u8>) {
    let proof = smoldot::network::codec::decode_grandpa_warp_sync_response(page, 4).expect("ours");
    let fragment = &proof.fragments[index];
    (fragment.scale_encoded_header.to_vec(), fragment.scale_encoded_justification.to_vec())
}

#[test]
fn an_empty_roster_is_proven_empty() {
    let chain = Chain::new(0);
    assert_eq!(chain.verify(), Ok(0));
    let mut full = chain.proof();
    full.nodes.push((id(1), record(1).encode()));
    assert!(Chain { roster: full.encode(), ..chain }.verify().is_err());
}

#[test]
fn a_node_left_out_added_or_altered_is_caught() {
    let chain = Chain::new(12);
    let lie = |change: &dyn Fn(&mut RosterProof)| {
        let mut proof = chain.proof();
        change(&mut proof);
        let head = follow(&chain.checkpoint, &chain.warp, [3; 32]).expect("final").block.expect("a head");
        read_roster(&read_head(&head, &chain.head).expect("proven"), &proof.encode())
    };
    use RosterProofError::{OtherBlock, OtherRoster, OtherSwarms};
    for index in 0..12 {
        assert_eq!(lie(&|proof| drop(proof.nodes.remove(index))), Err(OtherRoster));
        let unplaced = |proof: &mut RosterProof| {
            proof.swarms.remove(index);
        };
        assert_eq!(lie(&unplaced), Err(OtherSwarms));
        let moved = |proof: &mut RosterProof| proof.swarms[index].1 = SwarmId(77);
        assert_eq!(lie(&moved), Err(OtherSwarms));
        let elsewhere = |proof: &mut RosterProof| {
            proof.nodes[index].1 = RosterRecord { endpoint: record(99).endpoint, ..record(1) }.encode();
        };
        assert_eq!(lie(&elsewhere), Err(OtherRoster));
    }
    assert_eq!(lie(&|proof| proof.nodes.push((ServiceNodeId([255; 32]), record(99).encode()))), Err(OtherRoster));
    // The trie would take the last of two; a reader might take the first.
    let doubled = |proof: &mut RosterProof| {
        let (node, _) = proof.nodes[0];
        proof.nodes.insert(0, (node, record(99).encode()));
    };
    assert_eq!(lie(&doubled), Err(OtherRoster));
    assert_eq!(lie(&|proof| proof.nodes.reverse()), Err(OtherRoster));
    assert_eq!(lie(&|proof| proof.header = header([9; 32], 10, [0; 32], None)), Err(OtherBlock));
    let superfluous = |proof: &mut RosterProof| proof.state.push(vec![1, 2, 3]);
    assert_eq!(lie(&superfluous), Err(StateProofError::Superfluous.into()));
    let missing = |proof: &mut RosterProof| drop(proof.state.pop());
    assert_eq!(lie(&missing), Err(StateProofError::Missing.into()));
}

#[test]
fn every_altered_byte_is_refused() {
    let chain = Chain::new(3);
    assert_eq!(chain.verify(), Ok(3));
    let block = follow(&chain.checkpoint, &chain.warp, [3; 32]).expect("final").block.expect("a head");
    let head = read_head(&block, &chain.head).expect("proven");
    let altered = |bytes: &[u8], is_refused: &dyn Fn(&[u8]) -> bool| {
        for place in 0..bytes.len() {
            let mut altered = bytes.to_vec();
            altered[place] ^= 1 << (place % 8);
            assert!(is_refused(&altered), "byte {place} of {}", bytes.len());
        }
    };
    altered(&chain.warp, &|warp| follow(&chain.checkpoint, warp, [3; 32]).is_err());
    altered(&chain.head, &|proof| read_head(&block, proof).is_err());
    altered(&chain.roster, &|proof| read_roster(&head, proof).is_err());
}

proptest! {
    #[test]
    fn whatever_is_sent_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let chain = Chain::new(1);
        let block = ProvenBlock { number: 14, hash: [1; 32], state_root: [2; 32] };
        let head = Head { number: 14, hash: [1; 32], time: NOW, boundary: 10, boundary_hash: [3; 32] };
        if let Ok(followed) = follow(&chain.checkpoint, &bytes, [3; 32]) {
            prop_assert_eq!(followed.block, None);
        }
        prop_assert!(read_head(&block, &bytes).is_err());
        prop_assert!(read_roster(&head, &bytes).is_err());
    }
}

#[test]
fn only_the_authorities_of_the_moment_make_a_block_final() {
    let chain = Chain::new(1);
    let (boundary, signed) = fragment(&chain.warp, 0);
    let (head, _) = fragment(&chain.warp, 1);
    let (boundary_hash, head_hash) = (blake2_256(&boundary), blake2_256(&head));
    let follow = |fragments: &[(Vec<u8>, Vec<u8>)]| follow(&chain.checkpoint, &page(fragments, true), [3; 32]);
    let refused = |signers: &[u8], set_id: u64| {
        let forged = justification(14, head_hash, set_id, signers);
        let error = follow(&[(boundary.clone(), signed.clone()), (head.clone(), forged)]).expect_err("refused");
        assert!(matches!(error, FinalityError::NotFinal { number: 14, .. }), "{error}");
    };
    // Those who handed over, too few, one twice, strangers, and the right ones for another set.
    refused(&[1, 2, 3, 4], 1);
    refused(&[5, 6], 1);
    refused(&[5, 6, 6], 1);
    refused(&[5, 6, 9], 1);
    refused(&[5, 6, 7], 0);

    let other = justification(10, boundary_hash, 0, &[1, 2, 3]);
    let error = follow(&[(head.clone(), other)]).expect_err("refused");
    assert!(matches!(error, FinalityError::OtherBlock(14)), "{error}");
    // A step that changes no set, though more follows.
    let plain = header([4; 32], 5, [0; 32], None);
    let plain = (plain.clone(), justification(5, blake2_256(&plain), 0, &[1, 2, 3]));
    let error = follow(&[plain.clone(), (boundary.clone(), signed.clone())]).expect_err("refused");
    assert!(matches!(error, FinalityError::NoChange(5)), "{error}");
    // A block before the one already proven.
    let early = header([4; 32], 5, [0; 32], None);
    let early = (early.clone(), justification(5, blake2_256(&early), 1, &[5, 6, 7]));
    let error = follow(&[(boundary, signed), early]).expect_err("refused");
    assert!(matches!(error, FinalityError::Order(5)), "{error}");
}

#[test]
fn what_is_older_than_the_unlock_time_is_refused() {
    let chain = Chain::new(1);
    let block = follow(&chain.checkpoint, &chain.warp, [3; 32]).expect("final").block.expect("a head");
    let head = read_head(&block, &chain.head).expect("proven");
    let believed = |time: Moment| is_believable(&Checkpoint { time, ..chain.checkpoint.clone() }, NOW).is_ok();
    assert!(believed(NOW - 15 * DAY) && believed(NOW + DAY));
    assert!(!believed(NOW - 15 * DAY - 1));
    let limit = 15 * DAY;
    assert_eq!(is_young(&head, &chain.checkpoint, head.time + limit), Ok(()));
    let old = is_young(&head, &chain.checkpoint, head.time + limit + 1);
    assert_eq!(old, Err(AgeError::Head { number: 14, age: limit + 1, limit }));
    assert_eq!(
        old.map_err(|error| error.to_string()),
        Err("block 14 is 15 days old, and authorities are believed for 15 days only".into())
    );
    // A network on one machine has no stakes that unlock.
    let own = Checkpoint { believed_for: None, time: 0, ..chain.checkpoint };
    assert!(is_believable(&own, NOW).is_ok() && is_young(&head, &own, Moment::MAX).is_ok());
}

#[test]
fn nodes_that_name_each_other_many_times_over_are_read_once() {
    // Sixteen children, all the same, fifty levels deep: a reader that opened everything would never end.
    let mut nodes: Vec<Vec<u8>> = Vec::new();
    let mut below = vec![0xab; 32];
    for _ in 0..50 {
        let children = std::array::from_fn(|_| Some(below.clone()));
        let storage_value = trie_node::StorageValue::None;
        let node =
            trie_node::encode_to_vec(trie_node::Decoded { partial_key: [].into_iter(), children, storage_value });
        let node = node.expect("a node");
        below = blake2_256(&node).to_vec();
        nodes.push(node);
    }
    let root = below.try_into().expect("a hash");
    let mut reader = StateReader::new(root, &nodes).expect("few");
    assert_eq!(reader.read(&[0x12; 32]), Err(StateProofError::Missing));
    assert_eq!(reader.read(&[0x12; 3]), Ok(None));
}

#[test]
fn spans_read_as_people_say_them() {
    let texts = [90_000, 300_000, 3 * 60 * 60 * 1_000, 15 * DAY].map(|span| Span(span).to_string());
    assert_eq!(texts, ["90 s", "5 min", "3 h", "15 days"]);
}
