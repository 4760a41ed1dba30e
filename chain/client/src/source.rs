//! Where a client has its roster from.

use crate::ChainUrls;
use skep_primitives::Checkpoint;

/// The main network's checkpoint that this release ships; `null` until the network has begun. docs/clients/roster.md says how
/// it is made.
const MAIN: &str = include_str!("../checkpoints/main.json");

/// The chain nodes to ask for the roster, and why to believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterSource {
    /// Whom to ask.
    pub urls: ChainUrls,
    /// Why to believe it.
    pub trust: Trust,
}

/// Why a roster is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is proven down to this block.
    Checkpoint(Box<Checkpoint>),
    /// The chain nodes asked are one's own; several are compared with each other.
    ChainNodes,
    /// It is proven down to the block that the release ships.
    Release,
}

impl Trust {
    /// The block from which everything is proven. None: one's own chain nodes are believed, or the release ships none, since
    /// the main network has not begun.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        match self {
            Self::Checkpoint(checkpoint) => Some((**checkpoint).clone()),
            Self::ChainNodes => None,
            Self::Release => shipped(MAIN),
        }
    }
}

/// What a release ships. One that is believed for ever would be believed from old installations, so it does not count.
fn shipped(file: &str) -> Option<Checkpoint> {
    let checkpoint: Option<Checkpoint> = serde_json::from_str(file).ok()?;
    checkpoint.filter(|checkpoint| checkpoint.believed_for.is_some())
}

impl RosterSource {
    /// Chain nodes that are not believed.
    pub fn proven(urls: ChainUrls, checkpoint: Checkpoint) -> Self {
        Self { urls, trust: Trust::Checkpoint(Box::new(checkpoint)) }
    }

    /// One's own chain nodes, which are believed.
    pub const fn trusting(urls: ChainUrls) -> Self {
        Self { urls, trust: Trust::ChainNodes }
    }
}

impl From<ChainUrls> for RosterSource {
    fn from(urls: ChainUrls) -> Self {
        Self { urls, trust: Trust::Release }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_shipped() {
        let committed: serde_json::Value = serde_json::from_str(MAIN).expect("JSON");
        assert_eq!(
            Trust::Release.checkpoint().is_none(),
            committed.is_null(),
            "it is no checkpoint, or has no age limit"
        );
    }

    #[test]
    fn a_checkpoint_that_never_ages_is_not_shipped() {
        let authorities = r#"[{"key":"0xHASH","weight":1}]"#;
        let file = |believed_for: &str| {
            let hash = "07".repeat(32);
            let fields = format!(r#""number":9,"set_id":2,"time":5,"believed_for":{believed_for}"#);
            format!(r#"{{"genesis":"0xHASH","hash":"0xHASH","authorities":{authorities},{fields}}}"#)
                .replace("HASH", &hash)
        };
        assert_eq!(shipped(&file("1296000000")).map(|checkpoint| checkpoint.number), Some(9));
        assert_eq!(shipped(&file("null")), None);
        assert_eq!(shipped("null"), None);
    }
}
