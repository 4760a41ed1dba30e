//! Listening sessions at real nodes over loopback.

use crate::support::{Network, client_of, config, post};
use rustls::version::TLS13;
use serde_json::{Value, json};
use skep_onion::{Hop, WrapOptions, wrap};
use skep_proto::storage::{
    BatchResponse, DeliverRequest, ListenRequest, Method, Request, UnlistenRequest,
    listening::{DeliveryToken, Handle, ListenResponse, ListenedContact, MAX_LISTEN_BYTES, SessionSecret},
};

const SESSION: SessionSecret = SessionSecret([1; 32]);

fn contact(number: u8) -> ListenedContact {
    ListenedContact { handle: Handle([number; 32]), token: DeliveryToken([100 + number; 32]) }
}

fn listen(contacts: &[u8], ack: u64, hold: u64) -> Method {
    let contacts = contacts.iter().copied().map(contact).collect();
    Method::Listen(ListenRequest { session: SESSION, contacts, ack, hold })
}

fn deliver(number: u8, data: &[u8]) -> Method {
    let ListenedContact { handle, token } = contact(number);
    Method::Deliver(DeliverRequest { handle, token, data: data.to_vec() })
}

fn heard((status, body): (u16, Value)) -> (bool, Vec<(u64, Vec<u8>)>) {
    assert_eq!(status, 200, "{body}");
    let response: ListenResponse = serde_json::from_value(body).expect("an answer to listen");
    let messages = response.messages.into_iter().map(|message| (message.sequence, message.data)).collect();
    (response.opened, messages)
}

/// Long enough that a test which needs it to end by itself would be noticed.
const LONG: u64 = 25_000;

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_at_once_and_until_it_is_acknowledged() {
    let network = Network::start(&[0]).await;
    assert_eq!(heard(network.ask(0, listen(&[1, 2], 0, 0)).await), (true, vec![]));
    let waiting = network.ask(0, listen(&[1, 2], 0, LONG));
    let sending = async {
        // Whether it waits already or not: nothing is lost.
        let (status, body) = network.ask(0, deliver(1, b"hello")).await;
        assert_eq!((status, &body["queued"]), (200, &json!(true)));
    };
    let (answer, ()) = tokio::join!(waiting, sending);
    assert_eq!(heard(answer), (false, vec![(1, b"hello".to_vec())]));
    network.ask(0, deliver(2, b"again")).await;
    assert_eq!(heard(network.ask(0, listen(&[1, 2], 1, LONG)).await), (false, vec![(2, b"again".to_vec())]));
    assert_eq!(heard(network.ask(0, listen(&[1, 2], 2, 0)).await), (false, vec![]));

    // A handle that is left out is dead; so are all once the session is over.
    network.ask(0, listen(&[2], 2, 0)).await;
    let nobody = (404, json!("Nobody listens under this handle"));
    assert_eq!(network.ask(0, deliver(1, b"late")).await, nobody);
    let Method::Deliver(request) = deliver(2, b"x") else { unreachable!("a delivery") };
    let wrong = Method::Deliver(DeliverRequest { token: DeliveryToken([9; 32]), ..request });
    assert_eq!(network.ask(0, wrong).await, nobody);
    for _ in 0..2 {
        assert_eq!(network.ask(0, Method::Unlisten(UnlistenRequest { session: SESSION })).await.0, 200);
    }
    assert_eq!(network.ask(0, deliver(2, b"late")).await, nobody);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_through_hops_is_answered_at_once_and_never_twice() {
    let network = Network::start(&[0, 0, 0]).await;
    network.ask(2, listen(&[1], 0, 0)).await;
    let hop = |number: usize| Hop::from_id(network.id(number)).expect("a usable key");
    let request = serde_json::to_vec(&Request::Single(deliver(1, b"through hops"))).expect("serializes");
    for _ in 0..2 {
        let wrapped =
            wrap(&[hop(0), hop(1)], &hop(2), &request, WrapOptions::default(), &mut rand::rng()).expect("wraps");
        let (status, sealed) = network.post(0, "/onion_req/v2", wrapped.body).await;
        assert_eq!(status, 200, "{sealed}");
        let answer = wrapped.opener.open(sealed.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let (_, messages) = heard(network.ask(2, listen(&[1], 0, LONG)).await);
    assert_eq!(messages, [(1, b"through hops".to_vec())]);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_nobody_waits_and_sessions_are_bounded() {
    let network = Network::start_with(&[0], &config("[listening]\nsessions_per_address = 1")).await;
    let batch = Request::Batch(vec![listen(&[1], 0, LONG), deliver(1, b"x"), listen(&[1], 0, LONG)]);
    let (status, text) = network.post(0, "/storage_rpc/v1", serde_json::to_vec(&batch).expect("serializes")).await;
    assert_eq!(status, 200, "{text}");
    let batch: BatchResponse = serde_json::from_str(&text).expect("answers");
    assert_eq!(batch.results.iter().map(|result| result.code).collect::<Vec<_>>(), [200; 3]);
    let other = Method::Listen(ListenRequest { session: SessionSecret([2; 32]), contacts: vec![], ack: 0, hold: 0 });
    assert_eq!(network.ask(0, other.clone()).await, (503, json!("Server busy, try again later")));
    network.ask(0, Method::Unlisten(UnlistenRequest { session: SESSION })).await;
    assert!(heard(network.ask(0, other).await).0);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_lets_those_go_who_wait() {
    let network = Network::start(&[0]).await;
    heard(network.ask(0, listen(&[1], 0, 0)).await);
    let wait = || {
        let client = client_of(network.id(0), &[&TLS13]);
        let address = network.nodes[0].https_address();
        let body = serde_json::to_vec(&Request::Single(listen(&[1], 0, LONG))).expect("serializes");
        tokio::spawn(async move { post(&client, address, "/storage_rpc/v1", body).await })
    };
    // The newer call takes the place of the older one, whichever that is: once one has returned, the other one waits.
    let (mut one, mut other) = (wait(), wait());
    let waiting = tokio::select! {
        returned = &mut one => returned.map(|(status, _)| (status, other)),
        returned = &mut other => returned.map(|(status, _)| (status, one)),
    };
    let (status, waiting) = waiting.expect("no panic");
    assert_eq!(status, 200);
    network.stop().await;
    let (status, text) = waiting.await.expect("no panic");
    assert_eq!(status, 200, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_holds_little_memory() {
    let network = Network::start(&[0]).await;
    let padded = |hold, length| {
        let mut body = serde_json::to_vec(&Request::Single(listen(&[1], 0, hold))).expect("serializes");
        body.resize(length, b' ');
        body
    };
    let (status, answer) = network.post(0, "/storage_rpc/v1", padded(LONG, MAX_LISTEN_BYTES + 1)).await;
    assert_eq!((status, answer.as_str()), (413, "Request body too large"), "at once");
    let (status, answer) = network.post(0, "/storage_rpc/v1", padded(0, MAX_LISTEN_BYTES)).await;
    assert_eq!(status, 200, "{answer}");
    assert!(serde_json::from_str::<ListenResponse>(&answer).expect("an answer").opened, "nobody listened before");
    network.stop().await;
}
