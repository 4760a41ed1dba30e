//! Clients that take their answers too slowly are cut: an answer holds memory until it is gone.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How fast a client must take what is sent to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// It is judged once in this time.
    pub(crate) window: Duration,
    /// Bytes it must have taken by then.
    pub(crate) least: usize,
}

/// A kibibyte a second: what the slowest mobile network gives, and nobody who holds connections open on purpose. A longer
/// answer, which holds more memory, is taken in [`LONGEST`].
pub(crate) const SLOWEST: Pace = Pace { window: Duration::from_secs(20), least: 20 * 1024 };

/// How long any answer may hold its memory.
const LONGEST: Duration = Duration::from_secs(60);

/// Which answer a connection gives now, and how long it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answering(Arc<(AtomicUsize, AtomicUsize)>);

/// An answer, as a connection counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    number: usize,
    bytes: usize,
}

impl Answering {
    /// An answer of so many bytes begins, and so the one before has been taken.
    pub(crate) fn begin(&self, bytes: usize) {
        let (number, length) = &*self.0;
        length.store(bytes, Ordering::Release);
        number.fetch_add(1, Ordering::AcqRel);
    }

    fn now(&self) -> Answer {
        let (number, length) = &*self.0;
        Answer { number: number.load(Ordering::Acquire), bytes: length.load(Ordering::Acquire) }
    }
}

impl Pace {
    /// What of an answer of so many bytes must be taken in a window.
    fn least_of(&self, answer: usize) -> usize {
        let share = answer as u128 * self.window.as_millis() / LONGEST.as_millis();
        self.least.max(usize::try_from(share).unwrap_or(usize::MAX))
    }
}

/// Between two things that are sent (over `/monitor/v1`, which is one answer) nothing waits to be taken, so nothing is judged.
const PAUSE: Duration = Duration::from_secs(1);

/// How much was taken in the time that is judged next. Pure: time comes in.
#[derive(Debug)]
struct Window {
    pace: Pace,
    taken: usize,
    ends: Instant,
    /// The answer it began with.
    answer: Option<usize>,
    last_taken: Option<Instant>,
    waits: bool,
}

impl Window {
    fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, taken: 0, ends: now, answer: None, last_taken: None, waits: false }
    }

    fn handle_taken(&mut self, bytes: usize, now: Instant) {
        self.taken = self.taken.saturating_add(bytes);
        (self.last_taken, self.waits) = (Some(now), false);
    }

    /// Something of an answer waits to be taken: until when it may, or nothing if the client is too slow.
    fn handle_waiting(&mut self, answer: Answer, now: Instant) -> Option<Instant> {
        let has_rested = |last: Instant| now.saturating_duration_since(last) > PAUSE;
        let is_new_answer = self.answer != Some(answer.number) || !self.waits && self.last_taken.is_none_or(has_rested);
        self.waits = true;
        if is_new_answer || now >= self.ends {
            if !is_new_answer && self.taken < self.pace.least_of(answer.bytes) {
                return None;
            }
            (self.taken, self.ends, self.answer) = (0, now + self.pace.window, Some(answer.number));
        }
        Some(self.ends)
    }
}

/// A socket whose other end must keep up while something waits to be sent to it.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    socket: S,
    window: Window,
    answering: Answering,
    due: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    pub(crate) fn new(socket: S, pace: Pace, answering: Answering) -> Self {
        Self { socket, window: Window::new(pace, Instant::now()), answering, due: Box::pin(sleep(pace.window)) }
    }

    fn judge(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                self.window.handle_taken(bytes, Instant::now());
                outcome
            }
            Poll::Ready(Err(_)) => outcome,
            Poll::Pending => {
                while let Some(until) = self.window.handle_waiting(self.answering.now(), Instant::now()) {
                    self.due.as_mut().reset(until);
                    if self.due.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too little of its answer")))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.judge(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write_vectored(context, bytes);
        this.judge(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::timeout,
    };

    /// Longer than any test takes, and enough to wait for what must happen.
    const LONG: Duration = Duration::from_secs(60);
    const PACE: Pace = Pace { window: Duration::from_millis(30), least: 1 << 20 };

    const FIRST: Answer = Answer { number: 1, bytes: 0 };

    #[test]
    fn a_long_answer_right_after_a_short_one_has_its_whole_window() {
        let (start, pace) = (Instant::now(), Pace { window: Duration::from_secs(20), least: 100 });
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let long = Answer { number: 2, bytes: 6_000_000 };
        let mut window = Window::new(pace, start);
        window.handle_taken(50, at(1));
        assert_eq!(window.handle_waiting(FIRST, at(1)), Some(at(201)), "nothing was asked of it yet");
        window.handle_taken(50, at(1));
        window.handle_taken(50, at(205));
        assert_eq!(window.handle_waiting(long, at(206)), Some(at(406)), "the first was taken");
        window.handle_taken(1_999_999, at(405));
        assert_eq!(window.handle_waiting(long, at(406)), None, "this one too slowly");
    }

    #[test]
    fn the_pace_is_judged_while_something_waits() {
        let (start, pace) = (Instant::now(), Pace { window: Duration::from_secs(20), least: 100 });
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(pace, start);
        assert_eq!(window.handle_waiting(FIRST, at(0)), Some(at(20)));
        window.handle_taken(100, at(19));
        assert_eq!(window.handle_waiting(FIRST, at(19)), Some(at(20)));
        assert_eq!(window.handle_waiting(FIRST, at(20)), Some(at(40)), "fast enough, judged again");
        window.handle_taken(99, at(39));
        assert_eq!(window.handle_waiting(FIRST, at(39)), Some(at(40)));
        assert_eq!(window.handle_waiting(FIRST, at(40)), None, "too slow");
    }

    #[test]
    fn the_longer_the_answer_the_faster_it_must_be_taken() {
        let start = Instant::now();
        assert_eq!(
            [0, 10_000, 61_440, 6_000_000].map(|bytes| SLOWEST.least_of(bytes)),
            [20_480, 20_480, 20_480, 2_000_000]
        );
        for (taken, goes_on) in [(1_999_999, false), (2_000_000, true)] {
            let mut window = Window::new(SLOWEST, start);
            let long = Answer { bytes: 6_000_000, ..FIRST };
            assert!(window.handle_waiting(long, start).is_some());
            window.handle_taken(taken, start + Duration::from_secs(20));
            let judged = window.handle_waiting(long, start + Duration::from_secs(20));
            assert_eq!(judged.is_some(), goes_on);
        }
    }

    #[test]
    fn a_pause_between_answers_is_nobodys_fault() {
        let (start, pace) = (Instant::now(), Pace { window: Duration::from_secs(20), least: 100 });
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(pace, start);
        assert_eq!(window.handle_waiting(FIRST, at(0)), Some(at(20)));
        window.handle_taken(5, at(1));
        assert_eq!(window.handle_waiting(FIRST, at(90)), Some(at(110)), "another answer begins another window");
    }

    #[tokio::test]
    async fn who_takes_nothing_is_cut() {
        let (server, _client) = duplex(64);
        let mut server = Paced::new(server, PACE, Answering::default());
        let sent = timeout(LONG, server.write_all(&[0; 1000])).await.expect("does not wait for good");
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_a_byte_now_and_then_is_cut() {
        let (server, mut client) = duplex(64);
        let taker = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                sleep(Duration::from_millis(2)).await;
            }
        });
        let mut server = Paced::new(server, PACE, Answering::default());
        let sent = timeout(LONG, server.write_all(&[0; 1 << 20])).await.expect("is judged");
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        taker.abort();
    }

    #[tokio::test]
    async fn who_keeps_up_gets_everything() {
        let (server, mut client) = duplex(64);
        let taker = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.map(|_| all.len())
        });
        let mut server = Paced::new(server, Pace { window: LONG, least: 1 }, Answering::default());
        server.write_all(&[0; 100_000]).await.unwrap();
        server.shutdown().await.unwrap();
        drop(server);
        assert_eq!(taker.await.unwrap().unwrap(), 100_000);
    }
}
