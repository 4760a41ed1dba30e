//! Noticing a state that was put back.
//!
//! A ratchet that goes back uses keys twice. A program that starts from an older copy of its state cannot know by itself, so a
//! count is kept in two places: it is raised here, on disk, and then left as a mark in the own mailbox, at each start and every
//! [`RAISE`] while the program runs. Where the mailbox has a higher one, this state is an old copy: all sessions are started
//! anew, as after restoring a backup, and the user is told.
//!
//! Not noticed: a copy put back within [`RAISE`] of being taken, while the same program runs on; a copy put back more than a
//! month after the last start, when the marks have expired; members of the swarm that hide marks. While no member answers, it is
//! asked again every [`RETRY`], and what is said meanwhile is sent: nobody else can tell, and a swarm that is away must not
//! silence its accounts.

use super::Client;
use crate::{
    clock,
    event::Event,
    network::{Network, NetworkError},
    state::StateError,
};
use rand::Rng;
use skep_envelope::{Prekeys, StateMark};
use skep_primitives::Moment;
use skep_proto::storage::{MessageHash, RetrievedMessage};

/// How often a running program raises its mark (ms).
const RAISE: Moment = 15 * 60 * 1000;
/// When it is tried again if no member could be asked (ms).
const RETRY: Moment = 60 * 1000;
/// Marks left in the mailbox; older ones are deleted.
const MOST_MARKS: usize = 4;

impl Client {
    /// Raises the mark and looks whether the mailbox has a higher one, if it is time to. A network that cannot be asked is no
    /// reason not to go on.
    pub(super) async fn check_mark(&mut self) -> Result<(), NetworkError> {
        let now = clock::now();
        if self.marked.is_some_and(|last| last.saturating_add(RAISE) > now) {
            return Ok(());
        }
        let Some(genesis) = self.network.as_ref().map(Network::genesis) else { return Ok(()) };
        let fresh: [u8; 16] = rand::rng().random();
        let (instance, before) = self.state.write(|writer| writer.raise_mark(fresh))?;
        let mark = StateMark { instance, count: before.saturating_add(1) };
        let identity = &self.account.identity;
        let Ok(sealed) = mark.seal(identity, &genesis, &mut rand::rng()) else { return Ok(()) };
        let own = Network::mark_hash(identity, &sealed);
        let Self { state, account, network: Some(network), .. } = self else { return Ok(()) };
        let found = match network.leave_mark(state, &account.identity, sealed).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.marked = Some(now.saturating_sub(RAISE).saturating_add(RETRY));
                return Ok(());
            }
            Err(NetworkError::State(error)) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "the mark in the mailbox cannot be read");
                self.marked = Some(now.saturating_sub(RAISE).saturating_add(RETRY));
                return Ok(());
            }
        };
        self.marked = Some(now);
        let marks = |message: &RetrievedMessage| {
            let mark = StateMark::open(&self.account.identity, &genesis, &message.data)?;
            (mark.instance == instance && message.hash != own).then_some((mark.count, message.hash))
        };
        let mut marks: Vec<_> = found.iter().filter_map(marks).collect();
        marks.sort_unstable();
        marks.dedup();
        let highest = marks.last().map_or(0, |(count, _)| *count);
        let outdated = marks.len().saturating_sub(MOST_MARKS);
        let outdated: Vec<MessageHash> = marks.iter().take(outdated).map(|(_, hash)| *hash).collect();
        self.state.write(|writer| writer.discard(&outdated, now.saturating_add(RAISE)))?;
        if highest > before {
            tracing::warn!(
                "this account's state is older than what it has sent: it was put back from a copy. Sessions with contacts are \
                 started anew; messages that arrived after the copy was made may be missing"
            );
            self.start_anew(highest)?;
            self.notices.push(Event::StateRolledBack { account: self.account() });
        }
        Ok(())
    }

    /// Forgets what must not be used twice; the next contact with the network starts all sessions anew.
    pub(super) fn start_anew(&mut self, mark: u64) -> Result<(), StateError> {
        let prekeys = Prekeys::new(self.account());
        self.state.write(|writer| {
            writer.start_sessions_anew(&prekeys)?;
            writer.put_mark(mark)
        })?;
        (self.account.prekeys, self.account.rotated) = (prekeys, 0);
        Ok(())
    }
}
