//! Testers over real sockets; the chain is a list of rounds and what was submitted.

use super::*;
use crate::{
    drive::{budget::Budget, quic::Peers},
    testing::{entry, network, node_key, start, stop, view},
};
use skep_obligations::{Outcome as Decided, outcome};
use skep_primitives::{Findings, NodeState, Reason, Reasons, signing};
use tokio::sync::{mpsc, watch};

const GENESIS: BlockHash = [4; 32];

/// A chain that knows one round, and hands on what is submitted.
#[derive(Debug)]
struct OneRound {
    round: TestingRound,
    verdicts: mpsc::UnboundedSender<Verdict>,
}

impl Court for OneRound {
    fn rounds(&self) -> BoxFuture<'_, Result<Vec<TestingRound>, CourtError>> {
        async { Ok(vec![self.round.clone()]) }.boxed()
    }

    fn submit(&self, verdict: Verdict) -> BoxFuture<'_, Result<(), CourtError>> {
        async { self.verdicts.send(verdict).map_err(|_| CourtError::Unreachable("the test has ended".into())) }.boxed()
    }
}

/// The terms of a court, and what is submitted to it: nodes 1 to 5 test node 6, everything in seconds.
fn terms() -> (Terms, mpsc::UnboundedReceiver<Verdict>) {
    let (verdicts, submitted) = mpsc::unbounded_channel();
    let round = TestingRound {
        round: 3,
        block: [3; 32],
        begins_at: 5,
        ends_at: 1_000,
        testers: (1..=5).map(|number| node_key(number).id()).collect(),
        targets: vec![node_key(6).id()],
    };
    let testing = TestingTerms { round: 4_000, tester_wait: 1_000, unreachable: 2_000, ..TestingTerms::default() };
    (Terms { genesis: GENESIS, testing, court: Arc::new(OneRound { round, verdicts }) }, submitted)
}

const DECOMMISSIONED: NodeState =
    NodeState::Decommissioned { since: 1, credit_ends_at: 900, findings: EMPTY, leave: None };
const EMPTY: Findings = Findings { all: Reasons::NONE, any: Reasons::NONE };

async fn next(submitted: &mut mpsc::UnboundedReceiver<Verdict>) -> Verdict {
    let verdict = tokio::time::timeout(Duration::from_secs(60), submitted.recv()).await;
    verdict.expect("a verdict in time").expect("testers that run")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decommissioned_node_that_answers_passes() {
    let (nodes, mut entries, views) = network(6).await;
    entries[5].state = DECOMMISSIONED;
    views.send_replace(Arc::new(view(entries)));
    let (terms, mut submitted) = terms();
    for node in &nodes[..5] {
        node.test_others(terms.clone());
    }
    let verdict = next(&mut submitted).await;
    assert_eq!(verdict.subject.node, node_key(6).id());
    assert_eq!(outcome(5, &verdict.votes), Ok(Decided::Passes));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stopped_fails_and_the_reasons_are_told() {
    let (mut nodes, _, _views) = network(6).await;
    let (terms, mut submitted) = terms();
    nodes.remove(5).stop().await;
    for node in &nodes {
        node.test_others(terms.clone());
    }
    let verdict = next(&mut submitted).await;
    assert_eq!(verdict.subject, Subject { round: 3, block: [3; 32], node: node_key(6).id() });
    let Ok(Decided::Fails(findings)) = outcome(5, &verdict.votes) else { panic!("it fails: {verdict:?}") };
    for reason in [Reason::HttpsUnreachable, Reason::QuicUnreachable, Reason::OnionRelay] {
        assert!(findings.all.contains(reason), "{findings:?}");
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_votes_of_the_rounds_testers_are_taken() {
    let (views, receiver) = watch::channel(Arc::new(view([])));
    let (node, first) = start(1, receiver.clone()).await;
    let elsewhere = |number| entry(&node_key(number), 1, 0);
    views.send_replace(Arc::new(view([first.clone(), elsewhere(2), elsewhere(6), elsewhere(9)])));
    let (terms, _submitted) = terms();
    node.test_others(terms);

    let subject = Subject { round: 3, block: [3; 32], node: node_key(6).id() };
    let reasons = Reasons::NONE.with(Reason::Clock);
    let vote = |number: u8| {
        let signature = node_key(number).sign(&signing::vote(&GENESIS, &subject, reasons));
        Vote { seat: number - 1, reasons, signature }
    };
    let of = |number: u8| {
        let at = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        Peers::open(at, None, node_key(number), receiver.clone(), Budget::new(1 << 20)).expect("opens")
    };
    let (second, ninth) = (of(2), of(9));
    let ask = async |number: u8, votes: peer::Votes| {
        let peers = if number == 2 { &second } else { &ninth };
        let request = peer::Request { request: Some(Request::Votes(votes)) };
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let (answer, _lease) = peers.ask(&first, &request, PATIENCE).await.expect("answers");
            match answer.response {
                Some(Response::Votes(held)) => return Ok(read_held(&held).expect("votes")),
                // It has not asked for its rounds yet.
                Some(Response::Refusal(refusal)) if matches!(refusal.status, 425 | 503) => {
                    assert!(Instant::now() < until, "{}", refusal.reason);
                    sleep(Duration::from_millis(50)).await;
                }
                Some(Response::Refusal(refusal)) => return Err(refusal.status),
                Some(_) | None => panic!("neither votes nor refusal"),
            }
        }
    };
    assert_eq!(ask(2, write_votes(&subject, &[vote(2), vote(3)])).await, Ok(vec![]));
    assert_eq!(ask(2, write_votes(&subject, &[vote(2)])).await, Ok(vec![vote(3)]), "what it holds is told");
    let forged = Vote { seat: 3, ..vote(2) };
    assert_eq!(ask(2, write_votes(&subject, &[forged])).await, Err(400));
    assert_eq!(ask(9, write_votes(&subject, &[vote(2)])).await, Err(403), "a node, but no tester");
    assert_eq!(ask(2, write_votes(&Subject { block: [7; 32], ..subject }, &[])).await, Err(400));
    assert_eq!(ask(2, peer::Votes::default()).await, Err(400));
    assert_eq!(ask(2, write_votes(&subject, &[])).await.map(|held| held.len()), Ok(2), "nothing else was counted");
    node.stop().await;
}
