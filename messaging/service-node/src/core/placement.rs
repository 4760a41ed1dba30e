//! Where the node stands in the network, and where an account's mailbox is.

use skep_chain_client::RosterView;
use skep_primitives::{NodeState, RosterEntry, ServiceNodeId, SwarmId};
use skep_proto::account::AccountAddress;

/// Whether the node may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Readiness {
    /// It is in the roster and serves.
    #[error("ready")]
    Ready,
    /// The chain does not know it.
    #[error("it is not registered on the chain")]
    Unregistered,
    /// Its stake is not complete.
    #[error("its stake is not complete")]
    Gathering,
    /// Its testers found it failing.
    #[error("it is decommissioned")]
    Decommissioned,
}

/// Whether `me` may serve.
pub fn readiness(view: &RosterView, me: &ServiceNodeId) -> Readiness {
    match view.node(me) {
        None => Readiness::Unregistered,
        Some(entry) => match entry.state {
            NodeState::Active { .. } | NodeState::Leaving { .. } => Readiness::Ready,
            NodeState::Gathering { .. } => Readiness::Gathering,
            NodeState::Decommissioned { .. } => Readiness::Decommissioned,
        },
    }
}

/// The swarm `me` serves in, if it serves and has been placed.
pub fn own_swarm(view: &RosterView, me: &ServiceNodeId) -> Option<SwarmId> {
    let entry = view.node(me).filter(|entry| entry.state.is_serving())?;
    Some(entry.swarm).filter(|swarm| swarm.is_assigned())
}

/// Who keeps an account's mailbox.
#[derive(Debug)]
pub enum Placement<'a> {
    /// This node and its swarm.
    Here {
        /// The other members.
        peers: Vec<&'a RosterEntry>,
    },
    /// Another swarm, or none.
    Elsewhere,
}

impl<'a> Placement<'a> {
    /// Who keeps the mailbox of `account`, as `me` sees it.
    pub fn of(view: &'a RosterView, me: &ServiceNodeId, account: &AccountAddress) -> Self {
        match own_swarm(view, me) {
            Some(swarm) if view.swarm_of(&account.key()) == Some(swarm) => {
                Self::Here { peers: view.members(swarm).filter(|entry| entry.id != *me).collect() }
            }
            Some(SwarmId(_)) | None => Self::Elsewhere,
        }
    }
}
