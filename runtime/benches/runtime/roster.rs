//! What it costs a client to have the roster proven.

use crate::chain::Chain;
use codec::Encode;
use frame_support::storage::child;
use skep_chain_client::proof::{Head, read_roster};
use skep_measure::{Report, time};
use skep_primitives::{ROSTER_TRIE, RosterProof, SWARMS_TRIE, ServiceNodeId, SwarmId};
use skep_runtime::{Hash, Header};
use sp_core::storage::ChildInfo;
use sp_runtime::traits::Header as _;
use std::io;

const NODES: u32 = 2_000;

pub(crate) fn rows(report: &mut Report) -> io::Result<()> {
    let row = "roster verification of 2,000 nodes";
    if !report.wants(row) {
        return Ok(());
    }
    let (head, proof) = proven(NODES);
    let runs = (0..report.runs()).map(|_| time(|| read_roster(&head, &proof).expect("the chain's")) * 1e3);
    let runs: Vec<_> = runs.collect();
    report.tell_number(row, "ms", &runs)
}

/// The proof a chain node would give of a roster of so many nodes, each in a swarm, at an epoch boundary.
fn proven(nodes: u32) -> (Head, Vec<u8>) {
    const BOUNDARY: u32 = 1;
    let mut state = Chain::with_nodes(nodes).state;
    let tries = [ROSTER_TRIE, SWARMS_TRIE].map(ChildInfo::new_default);
    let [roster, swarms] = &tries;
    let (nodes, swarms) = state.execute_with(|| {
        let nodes: Vec<_> = entries(roster).collect();
        let placed = nodes.iter().zip(0_u64..).map(|((id, _), number)| (*id, SwarmId(number % 250)));
        let placed: Vec<_> = placed.collect();
        for (id, swarm) in &placed {
            child::put(swarms, &id.0, swarm);
        }
        (nodes, placed)
    });
    state.commit_all().expect("commits");
    let roots = tries.each_ref().map(ChildInfo::prefixed_storage_key);
    let root = *state.backend.root();
    let proof = sp_state_machine::prove_read(state.backend, roots.iter().map(|root| &root[..])).expect("there");
    let header = Header::new(BOUNDARY, Hash::default(), root, Hash::default(), Default::default());
    let hash = header.hash().0;
    let state = proof.into_iter_nodes().collect();
    let proof = RosterProof { header: header.encode(), state, nodes, swarms }.encode();
    (Head { number: BOUNDARY, hash, time: 0, boundary: BOUNDARY, boundary_hash: hash }, proof)
}

fn entries(trie: &ChildInfo) -> impl Iterator<Item = (ServiceNodeId, Vec<u8>)> {
    let name = trie.storage_key();
    let mut last = Vec::new();
    std::iter::from_fn(move || {
        last = sp_io::default_child_storage::next_key(name, &last)?;
        let id = last.as_slice().try_into().expect("a node's key");
        Some((ServiceNodeId(id), sp_io::default_child_storage::get(name, &last)?))
    })
}
