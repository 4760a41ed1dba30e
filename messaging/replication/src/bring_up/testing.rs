//! A member, for the tests of several modules.

use crate::{Work, answer, judge, status_of};
use skep_mailbox::{MemoryStore, NameRange, Store};
use skep_proto::peer::{self, request::Request, response::Response};

/// A member that answers as it should, at `now`.
#[expect(clippy::wildcard_enum_match_arm, reason = "a round asks nothing else")]
pub(crate) fn serve(store: &MemoryStore, request: Request, now: u64) -> peer::Response {
    let response = match request {
        Request::Reconcile(asked) => {
            Response::Reconciled(answer(store, &[NameRange::ALL], &asked).expect("an honest question"))
        }
        Request::HandOver(peer::HandOver { replicas }) => {
            let statuses = replicas.into_iter().map(|replica| match judge(store, replica, |_| true, now) {
                Ok(work) => work.into_iter().fold(200, |_, work| match work {
                    Work::Put(record) => status_of(&store.put(&[record], now).expect("memory")[0]),
                    Work::Change(change, order) => {
                        store.change(&change, Some(&order), now).expect("memory");
                        200
                    }
                }),
                Err(why) => why.status(),
            });
            let statuses = statuses.collect();
            store.sync().expect("memory");
            Response::Taken(peer::Taken { statuses })
        }
        other => panic!("{other:?}"),
    };
    peer::Response { response: Some(response) }
}
