//! Turns: slow work for JSON-RPC and the front door, so much of it at a time.

use jsonrpsee::{core::RpcResult, types::ErrorObjectOwned};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Code of an error that is this node's, not the caller's.
const SERVER_ERROR_CODE: i32 = -32_000;

/// Work off the async threads, so much of it at a time, so that no crowd takes the node's threads from its blocks. Some more
/// wait; the rest are refused at once, rather than answered when they have gone.
#[derive(Clone)]
pub(crate) struct Turns {
    at_once: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Turns {
    /// Nobody is refused.
    pub(crate) const ALL_WAIT: usize = Semaphore::MAX_PERMITS;

    /// So much work at a time, for which so many more may wait.
    pub(crate) fn new(at_a_time: usize, most_waiting: usize) -> Self {
        Self { at_once: Arc::new(Semaphore::new(at_a_time)), waiting: Arc::new(Semaphore::new(most_waiting)) }
    }

    /// Does the work when its turn has come. It is done to its end even if the caller has gone, and keeps its turn until then.
    pub(crate) async fn take<A, E>(&self, work: impl FnOnce() -> Result<A, E> + Send + 'static) -> RpcResult<A>
    where
        A: Send + 'static,
        E: ToString + Send + 'static,
    {
        let failed = |reason: String| ErrorObjectOwned::owned(SERVER_ERROR_CODE, reason, None::<()>);
        let stopping = || failed("the node is stopping".into());
        let place = self.waiting.try_acquire().map_err(|_| failed("too many ask this node: ask again later".into()))?;
        let turn = self.at_once.clone().acquire_owned().await.map_err(|_| stopping())?;
        drop(place);
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| stopping())?.map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::task::JoinHandle;

    /// Work that goes on until it is told to end.
    struct Held {
        caller: JoinHandle<RpcResult<u32>>,
        end: mpsc::Sender<()>,
    }

    impl Held {
        /// Begun before this returns.
        async fn begin(turns: &Turns, result: u32) -> Self {
            let ((begun, begins), (end, ends)) = (tokio::sync::oneshot::channel(), mpsc::channel());
            let turns = turns.clone();
            let caller = tokio::spawn(async move {
                let work = move || {
                    begun.send(()).expect("the test waits");
                    ends.recv().expect("the test ends it");
                    Ok::<_, String>(result)
                };
                turns.take(work).await
            });
            begins.await.expect("begins");
            Self { caller, end }
        }
    }

    async fn quick(turns: &Turns) -> RpcResult<u32> {
        turns.take(|| Ok::<_, String>(0)).await
    }

    #[tokio::test]
    async fn so_much_work_is_done_at_a_time_and_who_waits_gets_a_turn() {
        let turns = Turns::new(2, 1);
        let (first, second) = (Held::begin(&turns, 1).await, Held::begin(&turns, 2).await);
        let mut third = Box::pin(quick(&turns));
        assert!(futures::poll!(&mut third).is_pending());
        // One waits; the next is refused at once.
        let refused = quick(&turns).await.expect_err("too many");
        assert!(refused.message().contains("ask again later"), "{refused}");
        first.end.send(()).expect("it goes on");
        assert_eq!(first.caller.await.expect("no panic").expect("done"), 1);
        assert_eq!(third.await.expect("its turn has come"), 0);
        assert_eq!(quick(&turns).await.expect("a turn and a place are free"), 0);
        second.end.send(()).expect("it goes on");
        assert_eq!(second.caller.await.expect("no panic").expect("done"), 2);
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_keeps_its_turn() {
        let turns = Turns::new(1, 1);
        let held = Held::begin(&turns, 1).await;
        held.caller.abort();
        assert!(held.caller.await.is_err_and(|error| error.is_cancelled()));
        let mut next = Box::pin(quick(&turns));
        assert!(futures::poll!(&mut next).is_pending());
        assert!(quick(&turns).await.is_err(), "the next one is still waiting");
        held.end.send(()).expect("it goes on");
        assert_eq!(next.await.expect("its turn has come"), 0);
    }

    #[tokio::test]
    async fn a_failure_is_told() {
        let failed = Turns::new(1, 1).take(|| Err::<(), _>("no such block")).await.expect_err("it fails");
        assert_eq!((failed.code(), failed.message()), (SERVER_ERROR_CODE, "no such block"));
    }
}
