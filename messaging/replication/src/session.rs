//! Comparing two sets, frame by frame.

use crate::{Holdings, ItemId};
use negentropy::{Negentropy, NegentropyStorageVector};

/// Largest frame, in bytes.
pub const MAX_FRAME: usize = 60_000;
/// Most frames one session sends. What it has not found by then, the next one finds.
pub const MAX_ROUNDS: usize = 1_000;

/// A frame cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than anyone may send.
    #[error("the frame has {0} bytes, more than {MAX_FRAME}")]
    TooLong(usize),
    /// Not a frame of this protocol.
    #[error("the frame is malformed: {0}")]
    Malformed(String),
}

/// One comparison that this node began.
#[derive(Debug)]
pub struct Session<'a> {
    negentropy: Negentropy<'a, NegentropyStorageVector>,
    rounds: usize,
}

/// What a frame brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Items the peer lacks.
    pub lacking: Vec<ItemId>,
    /// How it goes on.
    pub next: Next,
}

/// How a session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this frame.
    Frame(Vec<u8>),
    /// Everything has been compared.
    Done,
    /// Not everything has been compared in [`MAX_ROUNDS`]; another session goes on.
    Exhausted,
}

impl<'a> Session<'a> {
    /// Begins to compare `holdings` with a peer's: the session and its first frame.
    pub fn start(holdings: &'a Holdings) -> Result<(Self, Vec<u8>), FrameError> {
        let mut negentropy = borrowed(holdings)?;
        let frame = negentropy.initiate().map_err(malformed)?;
        Ok((Self { negentropy, rounds: 1 }, frame))
    }

    /// Takes the peer's answer.
    pub fn handle(&mut self, frame: &[u8]) -> Result<Step, FrameError> {
        check(frame)?;
        let (mut lacking, mut unknown) = (Vec::new(), Vec::new());
        let next = self.negentropy.reconcile_with_ids(frame, &mut lacking, &mut unknown).map_err(malformed)?;
        self.rounds += 1;
        let next = match next {
            None => Next::Done,
            Some(_) if self.rounds > MAX_ROUNDS => Next::Exhausted,
            Some(frame) => Next::Frame(frame),
        };
        Ok(Step { lacking: lacking.into_iter().map(|id| ItemId(id.to_bytes())).collect(), next })
    }
}

/// Answers a frame of a session that a peer began.
pub fn answer(holdings: &Holdings, frame: &[u8]) -> Result<Vec<u8>, FrameError> {
    check(frame)?;
    borrowed(holdings)?.reconcile(frame).map_err(malformed)
}

fn borrowed(holdings: &Holdings) -> Result<Negentropy<'_, NegentropyStorageVector>, FrameError> {
    Negentropy::borrowed(&holdings.set, MAX_FRAME as u64).map_err(malformed)
}

fn check(frame: &[u8]) -> Result<(), FrameError> {
    if frame.len() > MAX_FRAME { Err(FrameError::TooLong(frame.len())) } else { Ok(()) }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn malformed(error: negentropy::Error) -> FrameError {
    FrameError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{enough, holdings};
    use proptest::prelude::*;
    use skep_mailbox::Item;
    use skep_primitives::SwarmId;
    use skep_proto::{account::AccountAddress, storage::Namespace};
    use std::collections::BTreeSet;

    fn item(number: u32) -> Item {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let account = AccountAddress::from_x25519(key);
        if number.is_multiple_of(5) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&key);
            Item::Order { account, signature }
        } else {
            Item::Message { account, namespace: Namespace(0), hash: key.into() }
        }
    }

    /// What `theirs` lacks of `mine`, as a session finds it, and the bytes that took.
    fn compare(mine: &Holdings, theirs: &Holdings) -> (BTreeSet<Item>, usize) {
        let (mut session, mut frame) = Session::start(mine).expect("starts");
        let (mut found, mut bytes) = (BTreeSet::new(), 0);
        loop {
            let reply = answer(theirs, &frame).expect("an honest frame");
            bytes += frame.len() + reply.len();
            assert!(frame.len().max(reply.len()) <= MAX_FRAME);
            let step = session.handle(&reply).expect("an honest frame");
            found.extend(step.lacking.iter().map(|id| *mine.item(id).expect("an item of ours")));
            match step.next {
                Next::Frame(next) => frame = next,
                Next::Done => return (found, bytes),
                Next::Exhausted => panic!("too many rounds"),
            }
        }
    }

    proptest! {
        #[test]
        fn each_finds_exactly_what_the_other_lacks(
            common in proptest::collection::btree_set(0_u32..50_000, 0..400),
            mine in proptest::collection::btree_set(50_000_u32..60_000, 0..60),
            theirs in proptest::collection::btree_set(60_000_u32..70_000, 0..60),
        ) {
            let set = |own: &BTreeSet<u32>| Holdings::new(common.iter().chain(own).map(|number| item(*number)));
            let (ours, others) = (set(&mine), set(&theirs));
            let expected = |own: BTreeSet<u32>| own.into_iter().map(item).collect::<BTreeSet<_>>();
            prop_assert_eq!(compare(&ours, &others).0, expected(mine));
            prop_assert_eq!(compare(&others, &ours).0, expected(theirs));
        }

        #[test]
        fn any_frame_is_answered_or_refused(frame in proptest::collection::vec(any::<u8>(), 0..300), version: bool) {
            let mut frame = frame;
            if version {
                frame.insert(0, 0x61);
            }
            let ours = Holdings::new((0..200).map(item));
            let _ = answer(&ours, &frame);
            let (mut session, _) = Session::start(&ours).expect("starts");
            let _ = session.handle(&frame);
        }
    }

    #[test]
    fn one_missing_among_many_costs_little() {
        const MANY: u32 = 1_000_000;
        let (ours, theirs) = (Holdings::new((0..MANY).map(item)), Holdings::new((1..MANY).map(item)));
        let (found, bytes) = compare(&ours, &theirs);
        assert_eq!(found, [item(0)].into());
        assert!(bytes <= 64 * 1024, "{bytes} bytes");
        let (nothing, bytes) = compare(&ours, &ours);
        assert!(nothing.is_empty() && bytes <= 1024, "{bytes} bytes");
    }

    #[test]
    fn an_empty_member_is_told_everything_in_bounded_frames() {
        let ours = Holdings::new((0..20_000).map(item));
        assert_eq!(compare(&ours, &Holdings::new([])).0.len(), 20_000);
        assert_eq!(compare(&Holdings::new([]), &ours).0.len(), 0);
    }

    #[test]
    fn long_frames_are_refused_unread() {
        let ours = Holdings::new([]);
        assert_eq!(answer(&ours, &vec![0x61; MAX_FRAME + 1]), Err(FrameError::TooLong(MAX_FRAME + 1)));
    }

    #[test]
    fn items_belong_to_swarms() {
        let by_swarm = holdings((0..30).map(item), |key| match key[3] % 3 {
            0 => None,
            rest => Some(SwarmId(rest.into())),
        });
        assert_eq!(by_swarm.len(), 2);
        assert!(by_swarm.values().all(|holdings| holdings.items().count() == 10 && !holdings.is_empty()));
        assert_eq!([0, 1, 3, 10].map(enough), [1, 1, 3, 3]);
    }
}
