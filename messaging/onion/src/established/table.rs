//! The paths a node is a hop of: bounded in all and by neighbour, and none for longer than it may live.

use super::{
    PATH_IDLE, PATH_LIFE,
    frame::{AnswerFrame, PathId},
    hop::HopPath,
};
use rand::CryptoRng;
use std::{collections::HashMap, hash::Hash, sync::Arc};

/// How many paths a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLimits {
    /// In all.
    pub paths: usize,
    /// Requests under way on one path.
    pub under_way: usize,
}

/// Why a path is not served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none of this name on this link, or none any more.
    Unknown,
    /// There is no room: for another path, or for another request on it.
    NoRoom,
}

/// Every path of a node. `U` names neighbours on the client's side: a path is served to the one that opened it.
#[derive(Debug)]
pub struct PathTable<U> {
    limits: PathLimits,
    paths: HashMap<PathId, Entry<U>>,
    by_neighbour: HashMap<U, usize>,
}

#[derive(Debug)]
struct Entry<U> {
    neighbour: U,
    path: Arc<HopPath>,
    opened: u64,
    used: u64,
}

impl<U> Entry<U> {
    const fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.opened) >= PATH_LIFE || now.saturating_sub(self.used) >= PATH_IDLE
    }
}

impl<U: Copy + Eq + Hash> PathTable<U> {
    /// No paths yet.
    pub fn new(limits: PathLimits) -> Self {
        Self { limits, paths: HashMap::new(), by_neighbour: HashMap::new() }
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether there is room for one more path of `neighbour`, which may have `share` of them. Times in ms.
    pub fn has_room(&mut self, neighbour: U, share: usize, now: u64) -> bool {
        let room = |table: &Self| {
            let own = table.by_neighbour.get(&neighbour).copied().unwrap_or_default();
            table.paths.len() < table.limits.paths && own < share
        };
        if !room(self) {
            self.expire(now);
        }
        room(self)
    }

    /// Takes up a path; the Opened frame for `neighbour`, given the `handshake` that answers it.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`].
    pub fn insert(
        &mut self,
        neighbour: U,
        share: usize,
        (path, handshake): (HopPath, Vec<u8>),
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, Refusal> {
        let mut id = [0; PathId::LEN];
        rng.fill_bytes(&mut id);
        let id = PathId(id);
        if !self.has_room(neighbour, share, now) || self.paths.contains_key(&id) {
            return Err(Refusal::NoRoom);
        }
        *self.by_neighbour.entry(neighbour).or_default() += 1;
        self.paths.insert(id, Entry { neighbour, path: Arc::new(path), opened: now, used: now });
        Ok(AnswerFrame::opened(id, &handshake))
    }

    /// The path of this name, for a request of `neighbour`. It counts as under way for as long as the result is held.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn find(&mut self, neighbour: U, id: PathId, now: u64) -> Result<Arc<HopPath>, Refusal> {
        let entry = self.paths.get_mut(&id).filter(|entry| entry.neighbour == neighbour).ok_or(Refusal::Unknown)?;
        if entry.is_over(now) {
            self.remove(id);
            return Err(Refusal::Unknown);
        }
        // The table holds one itself.
        if Arc::strong_count(&entry.path) > self.limits.under_way {
            return Err(Refusal::NoRoom);
        }
        entry.used = entry.used.max(now);
        Ok(Arc::clone(&entry.path))
    }

    /// Ends a path of `neighbour`'s.
    pub fn close(&mut self, neighbour: U, id: PathId) -> Option<Arc<HopPath>> {
        self.paths.get(&id).filter(|entry| entry.neighbour == neighbour)?;
        self.remove(id)
    }

    /// Ends the paths whose time is over.
    pub fn expire(&mut self, now: u64) {
        let over: Vec<_> = self.paths.iter().filter(|(_, entry)| entry.is_over(now)).map(|(id, _)| *id).collect();
        for id in over {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: PathId) -> Option<Arc<HopPath>> {
        let Entry { neighbour, path, .. } = self.paths.remove(&id)?;
        if let Some(count) = self.by_neighbour.get_mut(&neighbour) {
            *count -= 1;
            if *count == 0 {
                self.by_neighbour.remove(&neighbour);
            }
        }
        Some(path)
    }
}
