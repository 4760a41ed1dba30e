//! Following the finalized roster for as long as somebody looks at it.

use crate::{
    ChainClient, ChainUrls, ConnectError, RECENT_BLOCKS, RosterView,
    connection::{Connection, Head, block_hashes},
};
use jsonrpsee::core::{
    ClientError,
    client::{Subscription, SubscriptionClientT},
};
use skep_primitives::{BlockHash, BlockNumber, RosterSnapshot};
use skep_rpc::SkepRpcClient;
use std::{error::Error, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The newest view; `changed()` wakes with each finalized block. The task behind it ends when the last receiver is
/// dropped.
pub type RosterReceiver = watch::Receiver<Arc<RosterView>>;

/// First pause after every chain node failed; doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A chain node that finalizes nothing for this long is left for the next one: it may be cut off from the others.
const STALLED: Duration = Duration::from_secs(60);

/// Following could not begin.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No chain node answers.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A chain node answered, but does not tell its roster.
    #[error("cannot follow the roster")]
    Session(#[from] SessionError),
}

/// Why following one chain node ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection failed, or the chain node refused or garbled a call.
    #[error("the chain node failed")]
    Rpc(#[from] ClientError),
    /// A subscription ended.
    #[error("the chain node ended the subscription")]
    Ended,
    /// The chain node reported nothing for too long.
    #[error("the chain node finalized nothing for {} s", STALLED.as_secs())]
    Stalled,
    /// The chain node does not know a block it says is final.
    #[error("the chain node does not know its own finalized block {0}")]
    MissingBlock(BlockNumber),
}

/// Follows the finalized roster, beginning with the first chain node that answers and going on with another whenever
/// one fails. Returns once the first roster is there. A view never gives way to one of an older height.
pub async fn follow(urls: ChainUrls) -> Result<RosterReceiver, FollowError> {
    let connection = Connection::open(&urls, None, 0).await?;
    let (session, view) = Session::begin(connection, None).await?;
    let (views, receiver) = watch::channel(Arc::new(view));
    tokio::spawn(keep_following(urls, session, views));
    Ok(receiver)
}

impl ChainClient {
    /// [`follow`] with this client's chain nodes.
    pub async fn follow(&self) -> Result<RosterReceiver, FollowError> {
        follow(self.urls().clone()).await
    }
}

async fn keep_following(urls: ChainUrls, mut session: Session, views: watch::Sender<Arc<RosterView>>) {
    let genesis = session.connection.genesis;
    loop {
        let Err(error) = tokio::select! {
            () = views.closed() => return,
            ended = session.run(&views) => ended,
        };
        tracing::warn!(
            error = causes(&error),
            url = urls.iter().nth(session.connection.index),
            "chain node lost, trying the next one"
        );
        let next = session.connection.index + 1;
        session = tokio::select! {
            () = views.closed() => return,
            session = reconnect(&urls, genesis, next, &views) => session,
        };
    }
}

/// An error with its causes, as a log field.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error
}

async fn reconnect(
    urls: &ChainUrls,
    genesis: BlockHash,
    mut first: usize,
    views: &watch::Sender<Arc<RosterView>>,
) -> Session {
    let mut pause = SHORTEST_PAUSE;
    loop {
        match Connection::open(urls, Some(genesis), first).await {
            Ok(connection) => {
                first = connection.index + 1;
                let known = views.borrow().clone();
                match Session::begin(connection, Some(&known)).await {
                    Ok((session, view)) => {
                        views.send_replace(Arc::new(view));
                        return session;
                    }
                    Err(error) => tracing::warn!(error = causes(&error), "cannot follow this chain node"),
                }
            }
            Err(error) => tracing::warn!(error = causes(&error), "cannot follow the roster"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Two subscriptions to one chain node: rosters as they change, and finalized blocks.
struct Session {
    connection: Connection,
    rosters: Subscription<RosterSnapshot>,
    heads: Subscription<Head>,
}

enum Never {}

impl Session {
    /// Subscribes, and brings what is known up to this chain node's finalized block.
    async fn begin(connection: Connection, known: Option<&RosterView>) -> Result<(Self, RosterView), SessionError> {
        let rpc = &connection.rpc;
        let heads = rpc
            .subscribe::<Head, _>(
                "chain_subscribeFinalizedHeads",
                jsonrpsee::rpc_params![],
                "chain_unsubscribeFinalizedHeads",
            )
            .await?;
        let mut rosters = SkepRpcClient::subscribe_roster(&**rpc).await?;
        let first = tokio::time::timeout(STALLED, rosters.next()).await.map_err(|_| SessionError::Stalled)?;
        let snapshot = first.ok_or(SessionError::Ended)?.map_err(ClientError::from)?;
        let height = snapshot.height;
        let view = match known {
            Some(known) => known.with_blocks(blocks_until(&connection, known, height).await?).with_roster(snapshot),
            None => RosterView::beginning(snapshot, earlier_blocks(&connection, height).await?),
        };
        Ok((Self { connection, rosters, heads }, view))
    }

    /// Publishes each change until something fails.
    async fn run(&mut self, views: &watch::Sender<Arc<RosterView>>) -> Result<Never, SessionError> {
        loop {
            let view = views.borrow().clone();
            let next = tokio::select! {
                roster = self.rosters.next() => {
                    let snapshot = roster.ok_or(SessionError::Ended)?.map_err(ClientError::from)?;
                    let blocks = blocks_until(&self.connection, &view, snapshot.height).await?;
                    view.with_blocks(blocks).with_roster(snapshot)
                }
                head = tokio::time::timeout(STALLED, self.heads.next()) => {
                    let head = head.map_err(|_| SessionError::Stalled)?.ok_or(SessionError::Ended)?;
                    let head = head.map_err(ClientError::from)?;
                    view.with_blocks(blocks_until(&self.connection, &view, head.number).await?)
                }
            };
            if next != *view {
                views.send_replace(Arc::new(next));
            }
        }
    }
}

/// The blocks after the newest one known, up to a finalized height; at most as many as a view remembers.
async fn blocks_until(
    connection: &Connection,
    known: &RosterView,
    height: BlockNumber,
) -> Result<Vec<(BlockNumber, BlockHash)>, SessionError> {
    let oldest = height.saturating_sub(RECENT_BLOCKS as BlockNumber - 1);
    blocks(connection, known.height().saturating_add(1).max(oldest)..=height).await
}

/// The blocks before a finalized height, as many as a view remembers beside it.
async fn earlier_blocks(
    connection: &Connection,
    height: BlockNumber,
) -> Result<Vec<(BlockNumber, BlockHash)>, SessionError> {
    blocks(connection, height.saturating_sub(RECENT_BLOCKS as BlockNumber - 1)..=height).await
}

async fn blocks(
    connection: &Connection,
    heights: std::ops::RangeInclusive<BlockNumber>,
) -> Result<Vec<(BlockNumber, BlockHash)>, SessionError> {
    if heights.is_empty() {
        return Ok(Vec::new());
    }
    let hashes = block_hashes(&connection.rpc, heights.clone()).await?;
    heights
        .zip(hashes.into_iter().chain(std::iter::repeat(None)))
        .map(|(height, hash)| hash.map(|hash| (height, hash)).ok_or(SessionError::MissingBlock(height)))
        .collect()
}
