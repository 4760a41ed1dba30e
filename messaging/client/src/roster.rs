//! Where the roster comes from: proven by chain nodes that are not believed, or told by one's own.

use crate::{clock, network::NetworkError, state::State};
use futures::future::join_all;
use skep_chain_client::{ChainClient, ChainUrls, RosterSource, RosterVerifier, RosterView, Trust};
use skep_primitives::{BlockHash, RosterSnapshot};
use std::{cmp::Ordering, time::Duration};

/// Chain nodes asked at a time; with one's own, the first and those compared with it.
const MOST_ASKED: usize = 3;
/// How long a further chain node of one's own may take to answer.
const WITNESS: Duration = Duration::from_secs(3);

/// Asks for the roster.
#[derive(Debug)]
pub(crate) enum RosterFeed {
    /// Every answer is proven.
    Proven(Box<RosterVerifier>),
    /// The chain nodes are one's own.
    Trusted {
        chain: ChainClient,
        /// Further chain nodes, each alone.
        witnesses: Vec<ChainClient>,
    },
}

impl RosterFeed {
    /// Begins where this client left off. Binds the state to the network.
    pub(crate) async fn open(source: RosterSource, state: &mut State) -> Result<Self, NetworkError> {
        let RosterSource { urls, trust } = source;
        if trust == Trust::ChainNodes {
            let chain = ChainClient::connect(urls.clone()).await?;
            state.bind_network(&chain.genesis_hash())?;
            return Ok(Self::Trusted { chain, witnesses: witnesses(&urls).await });
        }
        let checkpoint = trust.checkpoint().ok_or(NetworkError::NoCheckpoint)?;
        state.bind_network(&checkpoint.genesis)?;
        let verifier = RosterVerifier::new(&urls, MOST_ASKED, checkpoint, state.roster_memory()?);
        Ok(Self::Proven(Box::new(verifier)))
    }

    /// The network's name.
    pub(crate) fn genesis(&self) -> BlockHash {
        match self {
            Self::Proven(verifier) => verifier.genesis(),
            Self::Trusted { chain, .. } => chain.genesis_hash(),
        }
    }

    /// The roster now.
    pub(crate) async fn ask(&mut self) -> Result<RosterView, NetworkError> {
        match self {
            Self::Proven(verifier) => Ok(verifier.refresh(clock::now()).await?.view()),
            Self::Trusted { chain, witnesses } => Ok(RosterView::new(compared(chain, witnesses).await?)),
        }
    }

    /// Keeps what was proven, so that the next run begins there.
    pub(crate) fn keep(&self, state: &mut State) -> Result<(), NetworkError> {
        match self {
            Self::Proven(verifier) => Ok(state.keep_roster_memory(verifier.memory())?),
            Self::Trusted { .. } => Ok(()),
        }
    }
}

/// Connections to further chain nodes, each to one of its own.
async fn witnesses(urls: &ChainUrls) -> Vec<ChainClient> {
    let others = urls.each().skip(1).take(MOST_ASKED - 1);
    let connecting = others.map(|url| tokio::time::timeout(WITNESS, ChainClient::connect(url)));
    join_all(connecting).await.into_iter().filter_map(|connected| connected.ok()?.ok()).collect()
}

/// The roster of the first chain node, if no other one contradicts it.
async fn compared(chain: &ChainClient, witnesses: &[ChainClient]) -> Result<RosterSnapshot, NetworkError> {
    let testimonies = join_all(witnesses.iter().map(|witness| tokio::time::timeout(WITNESS, witness.roster())));
    let (told, testimonies) = tokio::join!(chain.roster(), testimonies);
    let told = told?;
    for (witness, testimony) in witnesses.iter().zip(testimonies) {
        // Who does not answer contradicts nobody.
        let Ok(Ok(testimony)) = testimony else { continue };
        let contradiction = if witness.genesis_hash() != chain.genesis_hash() {
            Some("first block")
        } else {
            contradicts(&told, &testimony, chain, witness).await
        };
        if let Some(what) = contradiction {
            let url = witness.urls().iter().next().unwrap_or_default().to_owned();
            return Err(NetworkError::Contradiction(url, what));
        }
    }
    Ok(told)
}

/// Where two chain nodes contradict each other. At the same height all must be the same; where one is ahead, it must have
/// the other's block in its chain.
async fn contradicts(
    told: &RosterSnapshot,
    testimony: &RosterSnapshot,
    chain: &ChainClient,
    witness: &ChainClient,
) -> Option<&'static str> {
    let (behind, ahead) = match told.height.cmp(&testimony.height) {
        Ordering::Equal if told.block_hash != testimony.block_hash => return Some("finalized block"),
        Ordering::Equal => return (told.nodes != testimony.nodes).then_some("roster"),
        Ordering::Less => (told, witness),
        Ordering::Greater => (testimony, chain),
    };
    match ahead.block_hash(behind.height).await {
        Ok(Some(hash)) if hash != behind.block_hash => Some("finalized block"),
        Ok(_) | Err(_) => None,
    }
}
