//! The list of service nodes in the form existing clients read (`protocol.md` section 4, "Node list").

use super::base32z;
use rand::{Rng, seq::SliceRandom};
use serde_json::{Map, Value, json};
use skep_chain_client::RosterView;
use skep_onion::Hop;
use skep_primitives::{BlockNumber, RosterEntry, ServiceNodeId};
use skep_proto::storage::{HexKey, NodeListQuery, SwarmNode};
use std::collections::BTreeMap;

/// The X25519 keys of a roster's nodes: converting a key costs a square root, so it is done once a node.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    roster_height: Option<BlockNumber>,
    x25519: BTreeMap<ServiceNodeId, HexKey>,
}

impl Directory {
    /// The directory of `view`'s roster; keys `previous` has are taken from there.
    pub fn of(view: &RosterView, previous: &Self) -> Self {
        let convert = |id: &ServiceNodeId| {
            let known = previous.x25519.get(id).copied();
            // The chain registers no key that cannot be converted.
            known.or_else(|| Hop::from_id(*id).map(|hop| HexKey(hop.x25519)))
        };
        let x25519 = view.nodes().filter_map(|entry| Some((entry.id, convert(&entry.id)?))).collect();
        Self { roster_height: Some(view.roster_height()), x25519 }
    }

    /// Whether this is the directory of `view`'s roster.
    pub fn is_of(&self, view: &RosterView) -> bool {
        self.roster_height == Some(view.roster_height())
    }

    fn x25519(&self, id: &ServiceNodeId) -> HexKey {
        self.x25519.get(id).copied().unwrap_or(HexKey([0; 32]))
    }

    /// A member of a swarm as `get_swarm` shows it.
    pub fn swarm_node(&self, entry: &RosterEntry) -> SwarmNode {
        let endpoint = entry.endpoint;
        SwarmNode {
            ip: endpoint.ip().to_string(),
            port: endpoint.https_port.to_string(),
            port_https: endpoint.https_port,
            port_omq: endpoint.quic_port,
            port_quic: endpoint.quic_port,
            pubkey_ed25519: HexKey(entry.id.0),
            pubkey_x25519: self.x25519(&entry.id),
            pubkey_legacy: HexKey(entry.id.0),
            address: format!("{}.snode", base32z::encode(&entry.id.0)),
        }
    }
}

/// The result of `get_service_nodes`.
pub fn node_list(view: &RosterView, directory: &Directory, query: &NodeListQuery, rng: &mut impl Rng) -> Value {
    let block_hash = hex::encode(view.block_hash());
    if query.poll_block_hash.as_ref() == Some(&block_hash) {
        return json!({ "status": "OK", "height": view.height(), "block_hash": block_hash, "unchanged": true });
    }
    let mut nodes: Vec<_> = view
        .nodes()
        .filter(|entry| !query.active_only || entry.state.is_serving())
        .filter(|entry| query.nodes.is_empty() || query.nodes.contains(&HexKey(entry.id.0)))
        .collect();
    match query.limit {
        Some(limit) if limit > 0 => {
            let amount = usize::try_from(limit).unwrap_or(usize::MAX).min(nodes.len());
            nodes = nodes.partial_shuffle(rng, amount).0.to_vec();
        }
        Some(-1) => nodes.shuffle(rng),
        Some(_) | None => {}
    }
    let states: Vec<_> = nodes.into_iter().map(|entry| state(entry, directory, &query.fields)).collect();
    json!({ "status": "OK", "height": view.height(), "block_hash": block_hash, "service_node_states": states })
}

fn state(entry: &RosterEntry, directory: &Directory, fields: &[String]) -> Value {
    let RosterEntry { id, endpoint, state, .. } = entry;
    let all = [
        ("service_node_pubkey", json!(id)),
        ("pubkey_ed25519", json!(id)),
        ("pubkey_x25519", json!(directory.x25519(id))),
        ("public_ip", json!(endpoint.ip().to_string())),
        ("storage_port", json!(endpoint.https_port)),
        ("storage_lmq_port", json!(endpoint.quic_port)),
        ("service_node_version", json!(entry.version.0)),
        ("active", json!(state.is_serving())),
        ("funded", json!(state.is_serving())),
        ("requested_unlock_height", json!(state.requested_unlock_height())),
        ("registration_height", json!(entry.registered_at)),
        ("last_reward_block_height", json!(entry.last_rewarded_at)),
        ("swarm_id", json!(entry.swarm.0)),
        ("swarm", json!(entry.swarm)),
        ("operator_address", json!(entry.operator)),
    ];
    let wanted = |name: &str| fields.is_empty() || fields.iter().any(|field| field == name);
    let chosen: Map<_, _> =
        all.into_iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.to_owned(), value)).collect();
    Value::Object(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, node_key, view};

    fn list(query: &NodeListQuery) -> Value {
        let view = view((1..=20).map(|number| entry(&node_key(number), number.into(), 7)));
        let directory = Directory::of(&view, &Directory::default());
        assert!(directory.is_of(&view));
        node_list(&view, &directory, query, &mut rand::rng())
    }

    #[test]
    fn what_desktop_demands_is_there() {
        let fields = ["public_ip", "storage_port", "pubkey_x25519", "pubkey_ed25519", "requested_unlock_height"];
        let query =
            NodeListQuery { fields: fields.map(str::to_owned).to_vec(), active_only: true, ..Default::default() };
        let list = list(&query);
        assert_eq!(list["status"], "OK");
        assert!(list["height"].is_u64());
        let states = list["service_node_states"].as_array().expect("a list");
        assert_eq!(states.len(), 20);
        for state in states {
            assert_eq!(state.as_object().expect("an object").len(), fields.len());
            assert!(state["public_ip"].is_string() && state["storage_port"].is_u64());
            assert!(state["requested_unlock_height"].is_u64());
            let ed25519: HexKey = serde_json::from_value(state["pubkey_ed25519"].clone()).expect("a key");
            let x25519: HexKey = serde_json::from_value(state["pubkey_x25519"].clone()).expect("a key");
            assert_eq!(Hop::from_id(ServiceNodeId(ed25519.0)).expect("a hop").x25519, x25519.0);
        }
    }

    #[test]
    fn samples_and_choices() {
        let count = |query: NodeListQuery| {
            let list = list(&query);
            let states = list["service_node_states"].as_array().expect("a list").clone();
            let distinct: std::collections::BTreeSet<_> =
                states.iter().map(|s| s["pubkey_ed25519"].to_string()).collect();
            assert_eq!(distinct.len(), states.len());
            states.len()
        };
        let limit = |limit| NodeListQuery { limit: Some(limit), ..Default::default() };
        assert_eq!([count(limit(5)), count(limit(50)), count(limit(-1)), count(limit(0))], [5, 20, 20, 20]);
        let nodes = vec![HexKey(node_key(3).id().0), HexKey([0xee; 32])];
        assert_eq!(count(NodeListQuery { nodes, ..Default::default() }), 1);
    }

    #[test]
    fn a_caller_that_has_the_latest_is_told_so() {
        let first = list(&NodeListQuery::default());
        let hash = first["block_hash"].as_str().expect("a hash").to_owned();
        let again = list(&NodeListQuery { poll_block_hash: Some(hash), ..Default::default() });
        assert_eq!((&again["unchanged"], again.get("service_node_states")), (&json!(true), None));
    }
}
