//! The list of service nodes in the form existing clients read (`protocol.md` section 4, "Node list"): one rule for the
//! chain node's front door and for messaging nodes.

use rand::{Rng, seq::SliceRandom};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};
use skep_primitives::{BlockHash, BlockNumber, Findings, NodeState, RosterEntry, ServiceNodeId};
use std::collections::BTreeMap;

/// The release of the storage server whose calls a messaging node answers as that does: what clients take a node to be able to do.
/// Says nothing of this software's own age (decision 47).
pub const STORAGE_SERVER_VERSION: [u16; 3] = [2, 8, 0];

/// Says "every field" in a query.
const ALL_FIELDS: &str = "all";

/// Which service nodes to list and what to tell of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeListQuery {
    /// Fields wanted; all if empty. Read from a list of names or an object whose wanted fields are `true`.
    #[serde(deserialize_with = "field_names")]
    pub fields: Vec<String>,
    /// Above 0: a random sample of so many; -1: all, shuffled; absent or 0: all in order.
    pub limit: Option<i64>,
    /// Only nodes that serve.
    pub active_only: bool,
    /// Only these nodes, if any are named.
    #[serde(rename = "service_node_pubkeys")]
    pub nodes: Vec<ServiceNodeId>,
    /// The caller's last block hash (hex): if it is still the latest, the list is left out.
    pub poll_block_hash: Option<String>,
}

fn field_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Fields {
        Names(Vec<String>),
        Flags(BTreeMap<String, bool>),
    }
    let names = match Option::<Fields>::deserialize(deserializer)
        .map_err(|_| de::Error::custom("`fields` must be a list of names or an object of true and false"))?
    {
        None => Vec::new(),
        Some(Fields::Names(names)) => names,
        Some(Fields::Flags(flags)) => flags.into_iter().filter_map(|(name, wanted)| wanted.then_some(name)).collect(),
    };
    Ok(if names.iter().any(|name| name == ALL_FIELDS) { Vec::new() } else { names })
}

/// The result of `get_n_service_nodes` and `get_service_nodes` over a roster. `x25519` is the conversion of a node's key.
pub fn node_list<'a>(
    height: BlockNumber,
    block: &BlockHash,
    nodes: impl IntoIterator<Item = &'a RosterEntry>,
    query: &NodeListQuery,
    x25519: impl Fn(&ServiceNodeId) -> [u8; 32],
    rng: &mut impl Rng,
) -> Value {
    let block_hash = hex::encode(block);
    if query.poll_block_hash.as_ref() == Some(&block_hash) {
        return json!({ "status": "OK", "height": height, "block_hash": block_hash, "unchanged": true });
    }
    let mut chosen: Vec<_> = nodes
        .into_iter()
        .filter(|entry| !query.active_only || entry.state.is_serving())
        .filter(|entry| query.nodes.is_empty() || query.nodes.contains(&entry.id))
        .collect();
    match query.limit {
        Some(limit) if limit > 0 => {
            let amount = usize::try_from(limit).unwrap_or(usize::MAX).min(chosen.len());
            chosen = chosen.partial_shuffle(rng, amount).0.to_vec();
        }
        Some(-1) => chosen.shuffle(rng),
        Some(_) | None => {}
    }
    let wanted: Vec<_> = FIELDS.iter().filter(|(name, _)| query.wants(name)).collect();
    let state = |entry| {
        let told = wanted.iter().map(|(name, tell)| ((*name).to_owned(), tell(entry, &x25519)));
        Value::Object(told.collect::<Map<_, _>>())
    };
    let states: Vec<_> = chosen.into_iter().map(state).collect();
    json!({ "status": "OK", "height": height, "block_hash": block_hash, "service_node_states": states })
}

impl NodeListQuery {
    fn wants(&self, name: &str) -> bool {
        self.fields.is_empty() || self.fields.iter().any(|field| field == name)
    }
}

/// What a field tells of a node, given the conversion of its key.
type Tell = fn(&RosterEntry, &dyn Fn(&ServiceNodeId) -> [u8; 32]) -> Value;

/// Everything that can be told of a node.
const FIELDS: [(&str, Tell); 18] = [
    ("service_node_pubkey", |entry, _| json!(entry.id)),
    ("pubkey_ed25519", |entry, _| json!(entry.id)),
    ("pubkey_x25519", |entry, x25519| json!(hex::encode(x25519(&entry.id)))),
    ("public_ip", |entry, _| json!(entry.endpoint.ip().to_string())),
    ("storage_port", |entry, _| json!(entry.endpoint.https_port)),
    ("storage_lmq_port", |entry, _| json!(entry.endpoint.quic_port)),
    ("service_node_version", |entry, _| json!(entry.version.0)),
    ("storage_server_version", |_, _| json!(STORAGE_SERVER_VERSION)),
    ("active", |entry, _| json!(entry.state.is_serving())),
    ("state", |entry, _| json!(state_name(&entry.state))),
    ("decommission_findings", |entry, _| json!(findings(&entry.state))),
    ("funded", |entry, _| json!(is_funded(&entry.state))),
    ("requested_unlock_height", |entry, _| json!(entry.state.requested_unlock_height())),
    ("registration_height", |entry, _| json!(entry.registered_at)),
    ("last_reward_block_height", |entry, _| json!(entry.last_rewarded_at)),
    ("swarm_id", |entry, _| json!(entry.swarm.0)),
    ("swarm", |entry, _| json!(entry.swarm)),
    ("operator_address", |entry, _| json!(entry.operator)),
];

fn state_name(state: &NodeState) -> &'static str {
    match state {
        NodeState::Gathering { .. } => "gathering",
        NodeState::Active { .. } => "active",
        NodeState::Leaving { .. } => "leaving",
        NodeState::Decommissioned { .. } => "decommissioned",
    }
}

/// Whether the stake is complete. A node's stakes are more than it must hold while one leaves whose place was filled.
const fn is_funded(state: &NodeState) -> bool {
    state.is_tested()
}

/// Why a decommissioned node failed.
fn findings(state: &NodeState) -> Option<&Findings> {
    match state {
        NodeState::Decommissioned { findings, .. } => Some(findings),
        NodeState::Gathering { .. } | NodeState::Active { .. } | NodeState::Leaving { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_primitives::{Contribution, Endpoint, Permyriad, Reason, Reasons, SoftwareVersion, StakerId, SwarmId};

    fn entry(number: u8, state: NodeState) -> RosterEntry {
        RosterEntry {
            id: ServiceNodeId([number; 32]),
            operator: StakerId([1; 32]),
            fee: Permyriad::default(),
            contributions: vec![Contribution { staker: StakerId([1; 32]), amount: 100 }],
            requirement: 100,
            endpoint: Endpoint { ipv4: [127, 0, number, 1], https_port: 22_021, quic_port: 22_020 },
            version: SoftwareVersion([0, 1, 0]),
            state,
            swarm: SwarmId(7),
            registered_at: 1,
            last_rewarded_at: 2,
        }
    }

    fn list(query: &str) -> Value {
        let query = serde_json::from_str(query).expect("a query");
        let mut nodes: Vec<_> = (1..=20).map(|number| entry(number, NodeState::Active { since: 1 })).collect();
        nodes.push(entry(21, NodeState::Gathering { expires_at: 9 }));
        node_list(5, &[0xab; 32], &nodes, &query, |_| [9; 32], &mut rand::rng())
    }

    fn count(query: &str) -> usize {
        list(query)["service_node_states"].as_array().expect("a list").len()
    }

    #[test]
    fn fields_are_named_in_either_form() {
        for query in [r#"{"fields":{"public_ip":true,"swarm":false}}"#, r#"{"fields":["public_ip"]}"#] {
            assert_eq!(list(query)["service_node_states"][0], json!({ "public_ip": "127.0.1.1" }));
        }
        for query in ["{}", r#"{"fields":[]}"#, r#"{"fields":["all"]}"#, r#"{"fields":null}"#] {
            assert!(list(query)["service_node_states"][0].as_object().expect("an object").len() > 10, "{query}");
        }
        assert!(serde_json::from_str::<NodeListQuery>(r#"{"fields":7}"#).is_err());
    }

    #[test]
    fn limits_sample_and_filters_choose() {
        assert_eq!(
            ["{}", r#"{"active_only":true}"#, r#"{"limit":5}"#, r#"{"limit":50}"#, r#"{"limit":-1}"#].map(count),
            [21, 20, 5, 21, 21]
        );
        let one = "03".repeat(32);
        assert_eq!(count(&format!(r#"{{"service_node_pubkeys":["{one}"]}}"#)), 1);
    }

    #[test]
    fn a_decommissioned_node_is_listed_with_its_reasons_and_is_not_active() {
        let seen = Reasons::NONE.with(Reason::QuicUnreachable);
        let findings = Findings { all: seen, any: seen };
        let state = NodeState::Decommissioned { since: 7, credit_ends_at: 67, findings, leave: None };
        let nodes = [entry(1, NodeState::Active { since: 1 }), entry(2, state)];
        let told = |query: &str| {
            let query = serde_json::from_str(query).expect("a query");
            node_list(9, &[0xab; 32], &nodes, &query, |_| [9; 32], &mut rand::rng())["service_node_states"].clone()
        };
        let query = r#"{"fields":["active","state","funded","decommission_findings"]}"#;
        let expected = json!([
            { "active": true, "state": "active", "funded": true, "decommission_findings": null },
            {
                "active": false, "state": "decommissioned", "funded": true,
                "decommission_findings": { "all": ["quic_unreachable"], "any": ["quic_unreachable"] },
            },
        ]);
        assert_eq!(told(query), expected);
        assert_eq!(told(r#"{"active_only":true,"fields":["state"]}"#), json!([{ "state": "active" }]));
    }

    #[test]
    fn a_node_is_funded_once_its_stake_is_complete() {
        // Half is on its way out, and its place was filled.
        let mut refilled = entry(1, NodeState::Active { since: 1 });
        refilled.contributions.push(Contribution { staker: StakerId([2; 32]), amount: 50 });
        let mut gathering = entry(2, NodeState::Gathering { expires_at: 9 });
        gathering.contributions[0].amount = 25;
        let leaving = entry(3, NodeState::Leaving { requested_at: 4, leaves_at: 9 });
        let query = NodeListQuery { fields: vec!["funded".to_owned()], ..Default::default() };
        let told = node_list(5, &[0xab; 32], &[refilled, gathering, leaving], &query, |_| [9; 32], &mut rand::rng());
        let funded = [true, false, true].map(|funded| json!({ "funded": funded }));
        assert_eq!(told["service_node_states"], json!(funded));
    }

    #[test]
    fn a_caller_that_has_the_latest_is_told_so() {
        let again = list(&format!(r#"{{"poll_block_hash":"{}"}}"#, "ab".repeat(32)));
        assert_eq!((&again["unchanged"], again.get("service_node_states")), (&json!(true), None));
    }
}
