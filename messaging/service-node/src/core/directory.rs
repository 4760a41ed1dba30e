//! Service nodes as clients are shown them.

use super::base32z;
use rand::Rng;
use serde_json::Value;
use skep_chain_client::RosterView;
use skep_onion::Hop;
use skep_primitives::{BlockNumber, RosterEntry, ServiceNodeId};
use skep_proto::storage::{HexKey, NodeListQuery, SwarmNode};
use skep_rpc::node_list;
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
pub fn list_nodes(view: &RosterView, directory: &Directory, query: NodeListQuery, rng: &mut impl Rng) -> Value {
    let NodeListQuery { fields, limit, active_only, nodes, poll_block_hash } = query;
    let nodes = nodes.into_iter().map(|key| ServiceNodeId(key.0)).collect();
    let query = node_list::NodeListQuery { fields, limit, active_only, nodes, poll_block_hash };
    let x25519 = |id: &ServiceNodeId| directory.x25519(id).0;
    node_list::node_list(view.height(), &view.block_hash(), view.nodes(), &query, x25519, rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, node_key, view};

    #[test]
    fn what_desktop_demands_is_there() {
        let view = view((1..=20).map(|number| entry(&node_key(number), number.into(), 7)));
        let directory = Directory::of(&view, &Directory::default());
        assert!(directory.is_of(&view));
        let fields = ["public_ip", "storage_port", "pubkey_x25519", "pubkey_ed25519", "requested_unlock_height"];
        let query =
            NodeListQuery { fields: fields.map(str::to_owned).to_vec(), active_only: true, ..Default::default() };
        let list = list_nodes(&view, &directory, query, &mut rand::rng());
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
        let one = NodeListQuery { nodes: vec![HexKey(node_key(3).id().0)], ..Default::default() };
        let list = list_nodes(&view, &directory, one, &mut rand::rng());
        assert_eq!(list["service_node_states"].as_array().expect("a list").len(), 1);
    }
}
