//! Pushing new messages over a WebSocket (`GET /monitor/v1`): for bots and servers, since it shows the node the address and the
//! account together.
//!
//! | event | effect |
//! |---|---|
//! | a text frame with a `monitor` request | answered as in a batch: `{"code", "body"}` |
//! | a message is stored into a watched box | pushed |
//! | the mailbox has moved to another swarm | told, and no longer watched |
//! | nothing has been heard for [`SILENCE`] though [`PING`] was | closed |
//! | a frame is not taken within [`WRITE`], or too many wait | closed: what was missed is read with `retrieve` |

use super::{
    connections::Place,
    https::{Door, answer},
    metrics::Shed,
    node::Watcher,
};
use crate::core::Reply;
use axum::{
    Extension,
    body::Body as HttpBody,
    extract::{
        ConnectInfo, State, WebSocketUpgrade,
        ws::{CloseCode, CloseFrame, Message, WebSocket, close_code},
    },
    http::Response,
};
use skep_proto::storage::{Method, Request};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, interval_at, timeout};

/// Largest request: a subscription is a few hundred bytes.
const MAX_FRAME: usize = 16 * 1024;
const PING: Duration = Duration::from_secs(30);
/// Two pings unanswered, and a little.
const SILENCE: Duration = Duration::from_secs(75);
const WRITE: Duration = Duration::from_secs(10);

pub(super) async fn monitor(
    State(door): State<Arc<Door>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Extension(place): Extension<Arc<Place>>,
    upgrade: WebSocketUpgrade,
) -> Response<HttpBody> {
    let watcher = match door.serves().and_then(|()| door.node.monitors.open().ok_or_else(Reply::busy)) {
        Ok(watcher) => watcher,
        Err(refused) => {
            door.node.metrics.count_request("monitor", refused.status);
            return answer(refused.into());
        }
    };
    door.node.metrics.count_request("monitor", 101);
    // Watching is asking, for as long as it lasts.
    let (task, under_way) = (door.task(), place.ask());
    upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).on_upgrade(async move |mut socket| {
        let (code, reason) = tokio::select! {
            ended = serve(&mut socket, &door, address, watcher) => ended,
            () = place.evicted() => {
                door.node.metrics.count_shed(Shed::Full);
                return;
            }
        };
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // Who has gone, or does not listen, needs no farewell.
        let _ = timeout(WRITE, socket.send(close)).await;
        drop((under_way, task));
    })
}

/// Serves one connection; why it ends.
async fn serve(
    socket: &mut WebSocket,
    door: &Door,
    address: SocketAddr,
    mut watcher: Watcher,
) -> (CloseCode, &'static str) {
    const GONE: (CloseCode, &str) = (close_code::NORMAL, "");
    const SLOW: (CloseCode, &str) = (close_code::AGAIN, "too slow: retrieve what was missed, and come again");
    let mut pings = interval_at(Instant::now() + PING, PING);
    let mut heard = Instant::now();
    let fallen_behind = watcher.fallen_behind();
    tokio::pin!(fallen_behind);
    loop {
        let frames = tokio::select! {
            () = door.stop.cancelled() => return (close_code::AWAY, "stopping"),
            () = &mut fallen_behind => return SLOW,
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE {
                    return (close_code::NORMAL, "silent");
                }
                let moved = door.node.sweep(&mut watcher).into_iter().map(|event| Message::Text(event.into()));
                std::iter::once(Message::Ping(Default::default())).chain(moved).collect()
            }
            frame = watcher.next() => match frame {
                Some(frame) => vec![Message::Text(frame.text.clone())],
                None => return GONE,
            },
            message = socket.recv() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => {
                        let reply = reply(door, address, &mut watcher, text.as_str()).await;
                        door.node.metrics.count_request("monitor", reply.status);
                        vec![Message::Text(reply.embedded().into())]
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
                    Some(Ok(Message::Binary(_))) => return (close_code::UNSUPPORTED, "requests are text"),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return GONE,
                }
            }
        };
        for frame in frames {
            if !matches!(timeout(WRITE, socket.send(frame)).await, Ok(Ok(()))) {
                return SLOW;
            }
        }
    }
}

async fn reply(door: &Door, address: SocketAddr, watcher: &mut Watcher, text: &str) -> Reply {
    if let Err(refused) = door.may_ask(address).and_then(|()| door.serves()) {
        return refused;
    }
    match Request::parse(text.as_bytes()) {
        Err(error) => Reply::unreadable(&error),
        Ok(Request::Single(Method::Monitor(request))) => {
            door.node.monitor(watcher, request).await.unwrap_or_else(|refused| refused)
        }
        Ok(_) => Reply::text(400, "only monitor requests are answered here"),
    }
}
