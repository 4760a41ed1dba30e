//! One client's connection, from its handshake to its end.

use crate::drive::{
    connections::{Place, UnderWay},
    metrics::Shed,
    stall::{Answering, Pace, Paced, SLOWEST},
};
use axum::{Router, body::Body as HttpBody, extract::ConnectInfo};
use futures::future::{Either, ready};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Headers of one request.
const HEAD_BYTES: usize = 16 * 1024;

/// How long clients are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the end of the handshake.
    pub(crate) handshake: Duration,
    /// For the head of a request: from the handshake, or from the last answer.
    pub(crate) head: Duration,
    /// For the body.
    pub(crate) body: Duration,
    /// For more of the body: what is there of it holds memory.
    pub(crate) stall: Duration,
    /// For what is sent to be taken.
    pub(crate) pace: Pace,
    /// After this, a connection is closed once its request is answered, so that nobody holds a place for good.
    pub(crate) connection: Duration,
    /// How long that last answer may take.
    pub(crate) last_answer: Duration,
    /// How long a node that stops still waits for the first request of whoever has just connected.
    pub(crate) first_request: Duration,
    /// How long the end of a connection may take on which nothing is asked, when it gives way.
    pub(crate) farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            stall: Duration::from_secs(15),
            pace: SLOWEST,
            connection: Duration::from_secs(10 * 60),
            last_answer: Duration::from_secs(60),
            first_request: Duration::from_millis(500),
            farewell: Duration::from_millis(100),
        }
    }
}

/// A connection to be served.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) place: Arc<Place>,
    pub(super) patience: Patience,
}

/// Answers at once what may not be asked now, by its path.
pub(super) trait Gate: Fn(&str) -> Option<Response<HttpBody>> + Clone + Send + Sync + 'static {}

impl<G: Fn(&str) -> Option<Response<HttpBody>> + Clone + Send + Sync + 'static> Gate for G {}

/// Why no further request is taken.
enum Closing {
    /// It has lasted long enough, or the node stops.
    Time,
    /// Its place is needed.
    GivesWay,
}

impl Connection {
    /// Serves it to its end: a request that `gate` does not answer, by its path, goes on to `router` with the address and the
    /// place. An error says why the connection was cut off.
    pub(super) async fn serve(
        self,
        acceptor: TlsAcceptor,
        gate: impl Gate,
        router: Router,
        stop: &CancellationToken,
    ) -> Result<(), Shed> {
        let place = Arc::clone(&self.place);
        tokio::select! {
            ended = self.serve_in_turn(acceptor, gate, router, stop) => ended,
            () = place.evicted() => Err(Shed::Full),
        }
    }

    async fn serve_in_turn(
        self,
        acceptor: TlsAcceptor,
        gate: impl Gate,
        router: Router,
        stop: &CancellationToken,
    ) -> Result<(), Shed> {
        let Self { stream, address, place, patience } = self;
        let answering = Answering::default();
        let handshake = acceptor.accept(Paced::new(stream, patience.pace, answering.clone()));
        let stream = tokio::select! {
            shaken = timeout(patience.handshake, handshake) => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err(Shed::HalfOpen),
            },
            () = place.cut() => return Err(Shed::Idle),
        };
        let asked = CancellationToken::new();
        let service = {
            let (asked, place) = (asked.clone(), Arc::clone(&place));
            tower::service_fn(move |mut request: Request<Incoming>| {
                asked.cancel();
                let under_way = place.ask();
                request.extensions_mut().insert(ConnectInfo(address));
                request.extensions_mut().insert(Arc::clone(&place));
                let served = match gate(request.uri().path()) {
                    Some(refusal) => Either::Left(ready(Ok(refusal))),
                    None => Either::Right(router.clone().call(request)),
                };
                let answering = answering.clone();
                async move {
                    let response: Response<HttpBody> = served.await?;
                    answering.begin(usize::try_from(response.body().size_hint().lower()).unwrap_or(usize::MAX));
                    Ok::<_, Infallible>(response.map(|body| Answer { body, under_way: Arc::new(under_way) }))
                }
            })
        };
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(HEAD_BYTES);
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
        tokio::pin!(connection);
        let closing = tokio::select! {
            ended = &mut connection => return why_ended(ended, &asked),
            () = closing_time(stop, &asked, &patience) => Closing::Time,
            () = place.cut() => Closing::GivesWay,
        };
        connection.as_mut().graceful_shutdown();
        if matches!(closing, Closing::GivesWay) && !place.is_asking() {
            match timeout(patience.farewell, connection.as_mut()).await {
                Ok(ended) => return why_ended(ended, &asked).and(Err(Shed::Idle)),
                // Unless it has asked at the last moment.
                Err(_) if !place.is_asking() => return Err(Shed::Idle),
                Err(_) => {}
            }
        }
        match timeout(patience.last_answer, connection).await {
            Ok(ended) => why_ended(ended, &asked),
            Err(_) => Err(Shed::SlowAnswer),
        }
    }
}

/// When no further request is taken: after the longest time a connection may last, or when the node stops. Whoever has only
/// just connected by then may still ask once; the next node to listen on this socket knows nothing of them.
async fn closing_time(stop: &CancellationToken, asked: &CancellationToken, patience: &Patience) {
    if timeout(patience.connection, stop.cancelled()).await.is_ok() {
        let _ = timeout(patience.first_request, asked.cancelled()).await;
    }
}

fn why_ended(ended: hyper::Result<()>, asked: &CancellationToken) -> Result<(), Shed> {
    match ended {
        Err(error) if error.is_timeout() && !asked.is_cancelled() => Err(Shed::HalfOpen),
        Err(error) if is_stalled(&error) => Err(Shed::SlowAnswer),
        Err(error) => {
            tracing::trace!(%error, "a client's connection ended early");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether [`Paced`] ended a connection.
fn is_stalled(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// An answer on its way: its request is under way until its last byte has gone.
struct Answer {
    body: HttpBody,
    under_way: Arc<UnderWay>,
}

/// A part of it. The body is dropped as soon as the last one is queued, perhaps long before that has gone.
struct Part {
    bytes: Bytes,
    _under_way: Arc<UnderWay>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Self { body, under_way } = self.get_mut();
        let part = |bytes| Bytes::from_owner(Part { bytes, _under_way: Arc::clone(under_way) });
        Pin::new(body).poll_frame(context).map_ok(|frame| frame.map_data(part))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
