//! Friend requests of strangers: a few an hour are looked at.

use super::Client;
use crate::{
    event::Event,
    requests::{room, wait},
    state::{Asker, StateError, Writer},
};
use skep_envelope::{SIZE_CLASSES, open, ttl};
use skep_primitives::{BlockHash, Moment};
use skep_proto::storage::MessageHash;

/// Keeps a stranger's request for later. One that is longer than requests are is none.
pub(super) fn put_off(writer: &Writer<'_>, hash: &MessageHash, sealed: &[u8], now: Moment) -> Result<(), StateError> {
    match SIZE_CLASSES.first() == Some(&sealed.len()) {
        true => writer.put_stranger(hash, sealed, now.saturating_add(ttl::FRIEND_REQUEST)),
        false => Ok(()),
    }
}

impl Client {
    /// How many friend requests wait to be shown, because many came within an hour.
    pub fn requests_put_off(&self) -> Result<u32, StateError> {
        self.state.count_strangers()
    }

    /// How long to wait before somebody else may be asked (ms). None: now.
    pub(super) fn wait_to_ask(&self, now: Moment) -> Result<Option<Moment>, StateError> {
        let (made, first) = self.state.requests(Asker::We, now)?;
        Ok(wait(made, first, now))
    }

    /// Looks at as many requests as there is room for.
    pub(super) fn look_at_strangers(
        &mut self,
        genesis: &BlockHash,
        now: Moment,
        events: &mut Vec<Event>,
    ) -> Result<(), StateError> {
        // Each that is drawn waits no more, and those that are forged take no room.
        loop {
            let (shown, _) = self.state.requests(Asker::Strangers, now)?;
            let drawn = self.state.draw_strangers(room(shown, self.state.count_asking()?))?;
            if drawn.is_empty() {
                return Ok(());
            }
            for (hash, sealed) in drawn {
                events.extend(self.look_at(genesis, &hash, &sealed, now)?);
            }
        }
    }

    fn look_at(
        &mut self,
        genesis: &BlockHash,
        hash: &MessageHash,
        sealed: &[u8],
        now: Moment,
    ) -> Result<Vec<Event>, StateError> {
        let opened = match open(&self.account.identity, genesis, sealed) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(%error, "a friend request is none");
                return self.state.write(|writer| writer.drop_stranger(hash)).map(|()| Vec::new());
            }
        };
        let known = self.state.contact(&opened.source)?;
        self.take_opened(genesis, known.as_ref(), opened, now, |writer| {
            writer.drop_stranger(hash)?;
            if known.is_none() { writer.count_request(Asker::Strangers, now) } else { Ok(()) }
        })
    }
}

#[cfg(test)]
mod tests;
