//! The list of service nodes, asked for through a service node.

use super::{
    Method, ParamsError,
    fields::{flag, integer, names, shown, text},
};
use crate::storage::{
    HexKey,
    loose::{LooseNodeList, LooseParams, Shape},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The chain requests nodes answer.
pub(super) const NODE_LIST: &str = "get_service_nodes";
pub(super) const RESOLVE_NAME: &str = "ons_resolve";

/// A request for the chain.
pub(super) fn chain_request<R>(params: LooseParams<'_, R>) -> Result<Method, ParamsError> {
    match text("endpoint", &params.endpoint)?.ok_or(ParamsError::Missing("endpoint"))? {
        NODE_LIST => NodeListQuery::from_params(params).map(Method::NodeList),
        RESOLVE_NAME => Ok(Method::ResolveName),
        other => Err(ParamsError::ChainEndpoint(shown(other))),
    }
}

/// Which service nodes to list and what to tell of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeListQuery {
    /// Fields wanted; all if empty.
    pub fields: Vec<String>,
    /// Above 0: a random sample of so many; -1: all, shuffled; absent or 0: all in order.
    pub limit: Option<i64>,
    /// Only nodes that serve.
    pub active_only: bool,
    /// Only these nodes, if any are named.
    pub nodes: Vec<HexKey>,
    /// The caller's last block hash (hex): if it is still the latest, the list is left out.
    pub poll_block_hash: Option<String>,
}

impl NodeListQuery {
    fn from_params<R>(params: LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let Shape::Object(query) = params.params else { return Ok(Self::default()) };
        let LooseNodeList { fields, limit, active_only, service_node_pubkeys, poll_block_hash } = *query;
        let fields = names("fields", fields)?;
        let fields = if fields.iter().any(|field| field == "all") { Vec::new() } else { fields };
        let nodes = names("service_node_pubkeys", service_node_pubkeys)?
            .iter()
            .map(|key| key.parse().map_err(|_| ParamsError::NodeKey))
            .collect::<Result<_, _>>()?;
        let active_only = flag("active_only", &active_only)?;
        let limit = integer("limit", &limit)?;
        let poll_block_hash = text("poll_block_hash", &poll_block_hash)?.map(str::to_owned);
        Ok(Self { fields, limit, active_only, nodes, poll_block_hash })
    }
}

impl Serialize for NodeListQuery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.fields.is_empty() {
            map.serialize_entry("fields", &self.fields)?;
        }
        if let Some(limit) = self.limit {
            map.serialize_entry("limit", &limit)?;
        }
        map.serialize_entry("active_only", &self.active_only)?;
        if !self.nodes.is_empty() {
            map.serialize_entry("service_node_pubkeys", &self.nodes)?;
        }
        if let Some(hash) = &self.poll_block_hash {
            map.serialize_entry("poll_block_hash", hash)?;
        }
        map.end()
    }
}
