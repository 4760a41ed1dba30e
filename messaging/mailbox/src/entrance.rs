//! What a node asks of a deposit before it keeps it, in the order of what that costs: times and work, then what the store
//! knows, then signatures, then luck; pure.
//!
//! ```text
//! StoreRequest --Terms::weigh()--> Entrant --Entrant::judge()--> Record
//!               nothing is read            the store is, where Entrant::asks_the_store()
//! ```

use crate::{
    Admission, Demand, Origin, Record, Standing, Store, StoreError, StoreRefusal, Weighed, WorkRefusal, authorize,
    weigh,
};
use skep_proto::{peer::Work, storage::StoreRequest};
use skep_work::FLOOR;

/// On what terms a node takes a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    now: u64,
    origin: Origin,
    least_effort: u32,
    load: u32,
}

/// A deposit whose times and work are right; what it still has to pass depends on what the store knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Entrant {
    weighed: Weighed,
    terms: Terms,
    is_spent: bool,
}

impl Terms {
    /// The terms at `now` (ms) of a node that asks for `demand`. The member that took a deposit may be under less load: what it
    /// passes on has to show the least effort only, and no draw is held over it again.
    pub fn new(demand: &Demand, origin: Origin, now: u64) -> Self {
        let least_effort = match origin {
            Origin::Client => demand.effort(),
            Origin::Member => FLOOR,
        };
        Self { now, origin, least_effort, load: demand.load() }
    }

    /// Judges what costs neither a read nor a signature. `is_spent` tells whether work has paid for a message already.
    pub fn weigh(
        self,
        deposit: StoreRequest,
        is_recent_block: &dyn Fn(&[u8; 32]) -> bool,
        is_spent: impl FnOnce(&Work) -> bool,
    ) -> Result<Entrant, StoreRefusal> {
        let Self { now, origin, least_effort, .. } = self;
        let weighed = weigh(deposit, &Admission { now, origin, least_effort, is_recent_block })?;
        let is_spent = weighed.record().deposit().work.as_ref().is_some_and(is_spent);
        Ok(Entrant { weighed, terms: self, is_spent })
    }
}

impl Entrant {
    /// Whether [`judge`](Self::judge) reads the store. Paid mail, and the owner's own, mostly needs none of it.
    pub fn asks_the_store(&self) -> bool {
        self.is_spent || self.is_drawn() || self.signs_for_another()
    }

    fn is_drawn(&self) -> bool {
        self.terms.origin == Origin::Client && self.weighed.record().standing() == Standing::Unproven
    }

    fn signs_for_another(&self) -> bool {
        let auth = self.weighed.record().deposit().auth.as_ref();
        auth.is_some_and(|timed| timed.auth.subaccount.is_some())
    }

    /// Judges the rest; `dice` is random. Work pays for a message once: where it has, only the message it paid for is let in
    /// again. Mail that nobody paid for is let in by luck, or if it is here already.
    ///
    /// # Errors
    /// The store's, if it cannot be read. Inside, why the deposit is not taken.
    pub fn judge(self, store: &dyn Store, dice: u32) -> Result<Result<Record, StoreRefusal>, StoreError> {
        let (is_drawn, Self { weighed, terms, is_spent }) = (self.is_drawn(), self);
        let deposit = weighed.record().deposit();
        let (account, size) = (deposit.account, deposit.data.len() as u64);
        if is_spent && !is_kept(store, weighed.record(), terms.now)? {
            return Ok(Err(StoreRefusal::Work(WorkRefusal::Spent)));
        }
        let token = deposit.auth.as_ref().and_then(|timed| timed.auth.subaccount.as_ref()).map(|by| by.token);
        let is_revoked = match token {
            Some(token) => store.revoked(&account)?.contains(&token),
            None => false,
        };
        let record = match authorize(weighed, is_revoked) {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let is_taken = !is_drawn
            || store.allowance(&account)?.draws(size, terms.load, dice)
            || is_kept(store, &record, terms.now)?;
        Ok(if is_taken { Ok(record) } else { Err(StoreRefusal::Work(WorkRefusal::Demanded)) })
    }
}

fn is_kept(store: &dyn Store, record: &Record, now: u64) -> Result<bool, StoreError> {
    Ok(!store.expiries(&record.deposit().account, &[record.hash()], now)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Change, MemoryStore, Quota, Quotas,
        testing::{NOW, account, auth, owner},
    };
    use ed25519_dalek::Signer;
    use skep_proto::storage::{Access, Delegation, Namespace, OwnerAuth, SubaccountToken, TimedAuth, signed};
    use skep_work::{Challenge, solve};

    const BLOCK: [u8; 32] = [9; 32];

    fn deposit(namespace: i16, data: &[u8]) -> StoreRequest {
        StoreRequest {
            account: account(),
            namespace: Namespace(namespace),
            timestamp: NOW,
            expiry: NOW + 3_600_000,
            data: data.to_vec(),
            auth: None,
            work: None,
        }
    }

    fn paid(data: &[u8]) -> StoreRequest {
        let unpaid = deposit(0, data);
        let StoreRequest { account, namespace, timestamp, expiry, .. } = unpaid;
        let hash = Record::new(unpaid.clone()).hash();
        let ttl = expiry - timestamp;
        let challenge = Challenge { account, namespace, hash, timestamp, ttl, effort: FLOOR, block_hash: BLOCK };
        let proof = solve(&challenge, [3; 16], || true).unwrap();
        StoreRequest { work: Some(challenge.to_wire(&proof)), ..unpaid }
    }

    /// Signed by a subaccount of the owner's.
    fn delegated(data: &[u8]) -> (StoreRequest, SubaccountToken) {
        let user = ed25519_dalek::SigningKey::from_bytes(&[8; 32]);
        let token = SubaccountToken::new(5, Access::WRITE, &user.verifying_key().to_bytes());
        let delegation = Delegation { token, signature: owner().sign(token.as_bytes()).to_bytes() };
        let signature = user.sign(&signed::store(Namespace(5), NOW)).to_bytes();
        let auth = OwnerAuth { signature, subaccount: Some(delegation), ..auth(b"") };
        (StoreRequest { auth: Some(TimedAuth { auth, timestamp: NOW }), ..deposit(5, data) }, token)
    }

    fn weigh_as(
        origin: Origin,
        demand: &Demand,
        request: StoreRequest,
        is_spent: bool,
    ) -> Result<Entrant, StoreRefusal> {
        Terms::new(demand, origin, NOW).weigh(request, &|block| *block == BLOCK, |_| is_spent)
    }

    fn calm(request: StoreRequest, is_spent: bool) -> Entrant {
        weigh_as(Origin::Client, &Demand::new(FLOOR), request, is_spent).unwrap()
    }

    fn refusal(entrant: Entrant, store: &dyn Store, dice: u32) -> Option<StoreRefusal> {
        entrant.judge(store, dice).unwrap().err()
    }

    #[test]
    fn paid_mail_needs_neither_luck_nor_the_store() {
        let full = Quotas { unproven: Quota { messages: 0, bytes: 0 }, ..u64::MAX.into() };
        let store = MemoryStore::new(full);
        assert!(!calm(paid(b"paid"), false).asks_the_store());
        assert_eq!(refusal(calm(paid(b"paid"), false), &store, u32::MAX), None);
        let unpaid = calm(deposit(0, b"unpaid"), false);
        assert!(unpaid.asks_the_store());
        let demanded = Some(StoreRefusal::Work(WorkRefusal::Demanded));
        assert_eq!(refusal(unpaid.clone(), &store, 0), demanded, "no room, whatever the luck");
        assert_eq!(refusal(unpaid, &MemoryStore::new(u64::MAX), u32::MAX), None, "a calm node takes everything");
    }

    #[test]
    fn load_asks_more_of_clients_and_no_more_of_members() {
        let mut demand = Demand::new(FLOOR);
        (0..4).for_each(|_| demand.observe(100));
        let store = MemoryStore::new(u64::MAX);
        let too_little = Err(StoreRefusal::Work(WorkRefusal::TooLittle));
        assert_eq!(weigh_as(Origin::Client, &demand, paid(b"paid"), false).map(drop), too_little);
        assert!(weigh_as(Origin::Member, &demand, paid(b"paid"), false).is_ok());
        let unpaid = |origin| weigh_as(origin, &demand, deposit(0, b"unpaid"), false).unwrap();
        assert_eq!(refusal(unpaid(Origin::Client), &store, 0), None, "lucky");
        let demanded = Some(StoreRefusal::Work(WorkRefusal::Demanded));
        assert_eq!(refusal(unpaid(Origin::Client), &store, u32::MAX), demanded, "unlucky");
        assert!(!unpaid(Origin::Member).asks_the_store());
        assert_eq!(refusal(unpaid(Origin::Member), &store, u32::MAX), None, "another member has drawn already");
        store.put(&[Record::new(deposit(0, b"unpaid"))], NOW).unwrap();
        store.sync().unwrap();
        assert_eq!(refusal(unpaid(Origin::Client), &store, u32::MAX), None, "it is here");
    }

    #[test]
    fn spent_work_lets_in_what_it_paid_for_and_only_while_that_is_here() {
        let store = MemoryStore::new(u64::MAX);
        assert_eq!(refusal(calm(paid(b"a"), true), &store, 0), Some(StoreRefusal::Work(WorkRefusal::Spent)));
        store.put(&[Record::new(paid(b"a"))], NOW).unwrap();
        store.sync().unwrap();
        assert_eq!(refusal(calm(paid(b"a"), true), &store, 0), None);
    }

    #[test]
    fn a_revoked_subaccount_stores_no_more() {
        let store = MemoryStore::new(u64::MAX);
        let (request, token) = delegated(b"theirs");
        let entrant = calm(request, false);
        assert!(entrant.asks_the_store());
        assert_eq!(refusal(entrant.clone(), &store, u32::MAX), None);
        store
            .change(&Change::Revoke { account: account(), tokens: vec![token], at: NOW, given: NOW }, None, NOW)
            .unwrap();
        assert_eq!(refusal(entrant, &store, 0), Some(StoreRefusal::Signature));
        let own = auth(&signed::store(Namespace(5), NOW));
        let own = StoreRequest { auth: Some(TimedAuth { auth: own, timestamp: NOW }), ..deposit(5, b"own") };
        assert!(!calm(own.clone(), false).asks_the_store());
        assert_eq!(refusal(calm(own, false), &store, u32::MAX), None);
    }
}
