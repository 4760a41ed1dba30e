//! Members of swarms and their clients on a virtual clock, with faults and lying peers.
//!
//! The nodes run what real ones run: the rules of `skep-mailbox` (who is let in, for how much work, by how much luck; who is
//! revoked) and its store, and fan-out, comparison, hand-over and letting go of `skep-replication`. Here is only what those leave to their caller: who hears what and when, which disk keeps what, and
//! what clients do. Everything follows from one seed, so that the same seed gives the same run.
//!
//! **What goes wrong.** Messages between members are lost, late, or cut off by a partition; members crash, and find of what was
//! not synced only a beginning; disks are full; clocks are off; nodes join, leave and change swarms, which begin and are
//! dissolved, and each member hears of it in its own time; up to two members lie: they keep nothing, bring back what was
//! deleted (by handing it over, or as if a client had just stored it), or hand over messages and orders that nobody signed.
//! Nodes are under load, mailboxes short of room, blocks late; what is said of subaccounts overtakes what was said before.
//!
//! **What must hold.** An acknowledged message is at every honest member (with room on its disk) until its end, once it has had
//! time to compare; nobody shows it after its end, nor after having carried out its owner's order to delete it; no cursor is
//! shown it twice; a revoked subaccount neither reads nor stores where that was heard, and nobody else is refused; work pays
//! once, and paid mail always finds room; and honest members agree, whatever was heard by whom. What the owner may expect is told by a plain model of
//! a mailbox that knows nothing of members.

mod chain;
mod disk;
mod liar;
mod member;
mod owner;
mod roster;
mod world;

use std::fmt;

/// How large and how bad a world is.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Nodes.
    pub members: usize,
    /// Accounts.
    pub owners: usize,
    /// Minutes in which things go wrong; then everything works for a while.
    pub minutes: u64,
    /// The part of messages between members that is lost.
    pub loss: f64,
    /// Longest time between two things clients do (ms).
    pub pause: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { members: 9, owners: 2, minutes: 9, loss: 0.05, pause: 12_000 }
    }
}

impl Settings {
    /// A larger world, for long runs.
    pub const LARGE: Self = Self { members: 16, owners: 5, minutes: 30, loss: 0.08, pause: 6_000 };
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Things that happened.
    pub events: u64,
    /// Messages stored and acknowledged.
    pub acknowledged: u64,
    /// Orders given.
    pub orders: u64,
    /// Messages read.
    pub read: u64,
    /// Deposits that were not let in.
    pub refused: u64,
    /// Messages paid for by work.
    pub paid: u64,
    /// Orders about subaccounts.
    pub words: u64,
    /// Questions whether a member lets in whom, and what, it should.
    pub probes: u64,
    /// Crashes.
    pub crashes: u64,
    /// Messages between members that were lost.
    pub lost: u64,
    /// Changes of swarms.
    pub moves: u64,
    /// Things handed over.
    pub handed: u64,
    /// Things let go of.
    pub let_go: u64,
    /// Requests of lying members.
    pub lies: u64,
    /// Messages of which it was certain what members must show in the end.
    pub checked: u64,
}

impl Stats {
    /// Counts another run in.
    pub fn add(&mut self, other: &Self) {
        let Self {
            events,
            acknowledged,
            orders,
            read,
            refused,
            paid,
            words,
            probes,
            crashes,
            lost,
            moves,
            handed,
            let_go,
            lies,
            checked,
        } = other;
        self.events += events;
        self.acknowledged += acknowledged;
        self.orders += orders;
        self.read += read;
        self.refused += refused;
        self.paid += paid;
        self.words += words;
        self.probes += probes;
        self.crashes += crashes;
        self.lost += lost;
        self.moves += moves;
        self.handed += handed;
        self.let_go += let_go;
        self.lies += lies;
        self.checked += checked;
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events,
            acknowledged,
            orders,
            read,
            refused,
            paid,
            words,
            probes,
            crashes,
            lost,
            moves,
            handed,
            let_go,
            lies,
            checked,
        } = self;
        write!(
            f,
            "{events} events: {acknowledged} messages acknowledged ({paid} paid for, {refused} not let in), {orders} orders \
             ({words} about subaccounts), {read} messages read, {probes} probes of who is let in; {crashes} crashes, \
             {lost} requests or answers lost, {moves} changes of swarms, {lies} lies; {handed} things handed over, {let_go} let \
             go of; {checked} messages checked in the end"
        )
    }
}

/// Something happened that must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Violation {
    pub(crate) const fn new(what: String) -> Self {
        Self(what)
    }
}

/// Runs the world of one seed.
///
/// # Errors
/// What happened that must not.
pub fn run(seed: u64, settings: Settings) -> Result<Stats, Violation> {
    world::World::new(seed, settings).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs these seeds; `scripts/simulate` runs any number.
    fn hold(seeds: std::ops::Range<u64>) {
        let least = (seeds.end - seeds.start) / 2;
        let mut all = Stats::default();
        for seed in seeds {
            match run(seed, Settings::default()) {
                Ok(stats) => all.add(&stats),
                Err(violation) => panic!("seed {seed}: {violation}\n  scripts/simulate --seeds 1 --from {seed}"),
            }
        }
        // A world in which nothing goes wrong proves nothing.
        for (what, number) in [
            ("acknowledged", all.acknowledged),
            ("orders", all.orders),
            ("refused", all.refused),
            ("paid", all.paid),
            ("words", all.words),
            ("probes", all.probes),
            ("crashes", all.crashes),
            ("lost", all.lost),
            ("moves", all.moves),
            ("handed", all.handed),
            ("let go", all.let_go),
            ("lies", all.lies),
            ("checked", all.checked),
        ] {
            assert!(number > least, "{what}: {all}");
        }
    }

    #[test]
    fn members_keep_their_word() {
        hold(0..100);
    }

    #[test]
    fn members_keep_their_word_in_other_worlds() {
        hold(100..200);
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        assert_eq!(run(1_000_000, Settings::default()), run(1_000_000, Settings::default()));
    }
}
