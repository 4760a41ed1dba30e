//! Whole paths, without a network.

use super::*;
use crate::{Answer, Hop, HopSecret, Peeled, ReplyBody, WrapOptions, frame::MAX_BODY_BYTES, peel, wrap};
use proptest::{collection::vec, prelude::*, sample::Index};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_primitives::ServiceNodeId;

const LIMITS: PathLimits = PathLimits { paths: 4, under_way: 2 };

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

struct Node {
    hop: Hop,
    secret: HopSecret,
    table: PathTable<u8>,
}

fn node(number: u8) -> Node {
    let secret = HopSecret::from_ed25519_seed(&[number; 32]);
    let hop = Hop { id: ServiceNodeId([number; 32]), x25519: secret.public() };
    Node { hop, secret, table: PathTable::new(LIMITS) }
}

/// Nodes 1.., and node `i`'s neighbour on the client's side has the name `i - 1`.
fn nodes(count: u8) -> Vec<Node> {
    (1..=count).map(node).collect()
}

fn hops(nodes: &[Node]) -> Vec<Hop> {
    nodes.iter().map(|node| node.hop).collect()
}

/// Hands an Open frame from hop to hop; what each hop saw.
fn open(nodes: &mut [Node], neighbour: u8, frame: &[u8], rng: &mut ChaCha20Rng, seen: &mut Vec<Vec<u8>>) -> Vec<u8> {
    seen.push(frame.to_vec());
    let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(frame) else { panic!("not an opening") };
    let (own, behind) = nodes.split_first_mut().unwrap();
    let accepted = Accepted::read(&own.secret, handshake, rng).unwrap();
    let joined = match accepted.next().cloned() {
        None => accepted.end().unwrap(),
        Some(next) => {
            assert_eq!(next.node, behind[0].hop.id);
            let answer = open(behind, neighbour + 1, &next.frame, rng, seen);
            accepted.joined(&answer).unwrap()
        }
    };
    own.table.insert(neighbour, 9, joined, 0, rng).unwrap()
}

fn established(nodes: &mut [Node], seed: u64) -> EstablishedPath {
    let mut rng = rng(seed);
    let (opening, frame) = PathOpening::start(&hops(nodes), &mut rng).unwrap();
    let answer = open(nodes, 0, &frame, &mut rng, &mut Vec::new());
    opening.finish(&answer).unwrap()
}

fn find(node: &mut Node, neighbour: u8, frame: &[u8]) -> (std::sync::Arc<HopPath>, u64, Vec<u8>) {
    let Ok(LinkFrame::Forward { path, number, sealed }) = LinkFrame::parse(frame) else { panic!("not a request") };
    (node.table.find(neighbour, path, 1).unwrap(), number, sealed.to_vec())
}

/// Hands a request from hop to hop, and the destination's answer back. What went over each link, there and back.
fn travel(nodes: &mut [Node], frame: Vec<u8>, answer: (u16, &[u8])) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<u8>) {
    let (mut there, mut frame, mut way) = (Vec::new(), frame, Vec::new());
    for (at, node) in nodes.iter_mut().enumerate() {
        there.push(frame.clone());
        let (path, number, sealed) = find(node, at as u8, &frame);
        match path.forward(number, &sealed, vec![7; 10]).unwrap() {
            Forwarded::Relay { frame: next, .. } => frame = next,
            Forwarded::Deliver { layer, body, .. } => frame = layer[body].to_vec(),
        }
        way.push((path, number));
    }
    let (path, number) = way.pop().unwrap();
    let mut back = vec![path.answer(number, answer.0, answer.1, vec![1; 3]).unwrap()];
    while let Some((path, number)) = way.pop() {
        back.push(path.relay_back(number, back.last().unwrap(), Vec::new()).unwrap());
    }
    (there, back, frame)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn requests_arrive_and_answers_return(
        count in 1..=MAX_PATH_HOPS as u8,
        bodies in vec(vec(any::<u8>(), 0..2000), 1..4),
        answer in vec(any::<u8>(), 0..3000),
        status: u16,
        seed: u64,
    ) {
        let mut nodes = nodes(count);
        let mut path = established(&mut nodes, seed);
        for body in bodies {
            let SealedRequest { frame, reader } = path.seal(ServiceNodeId([99; 32]), &body).unwrap();
            let (there, back, delivered) = travel(&mut nodes, frame, (status, &answer));
            prop_assert_eq!(delivered, body);
            prop_assert_eq!(reader.read(back.last().unwrap()), Ok(PathAnswer { status, body: answer.clone() }));
            // No link carries what another one does.
            for (at, frame) in there.iter().enumerate() {
                prop_assert!(there[at + 1..].iter().all(|other| !contains(frame, &other[FORWARD_TEXT..])));
            }
            for (at, frame) in back.iter().enumerate() {
                prop_assert!(back[at + 1..].iter().all(|other| !contains(other, &frame[1..])));
            }
        }
    }

    #[test]
    fn every_changed_bit_is_noticed_by_the_next_who_opens_it(link in 0..3_usize, at: Index, bit in 0..8_u32, seed: u64) {
        let mut nodes = nodes(3);
        let mut path = established(&mut nodes, seed);
        let SealedRequest { frame, reader } = path.seal(ServiceNodeId([99; 32]), b"body").unwrap();
        let (there, back, _) = travel(&mut nodes, frame, (200, b"answer"));
        // The way there: from the number on, every bit matters. Another path: the numbers of this one are used up.
        let mut nodes = self::nodes(3);
        established(&mut nodes, seed);
        let mut changed = there[link].clone();
        let place = at.index(changed.len() - 17) + 17;
        changed[place] ^= 1 << bit;
        let (hop, _, _) = find(&mut nodes[link], link as u8, &there[link]);
        let Ok(LinkFrame::Forward { number, sealed, .. }) = LinkFrame::parse(&changed) else { panic!("a request") };
        prop_assert_eq!(hop.forward(number, sealed, Vec::new()), Err(PathBroken));
        // What was refused used nothing up.
        let Ok(LinkFrame::Forward { number, sealed, .. }) = LinkFrame::parse(&there[link]) else { panic!("a request") };
        prop_assert!(hop.forward(number, sealed, Vec::new()).is_ok());
        // The way back, at the client.
        let mut answer = back.last().unwrap().clone();
        let place = at.index(answer.len());
        answer[place] ^= 1 << bit;
        prop_assert_eq!(reader.read(&answer), Err(ReadAnswerError::Forged(0)));
    }

    #[test]
    fn a_hop_that_changes_what_it_passes_back_is_found(seed: u64, at: Index) {
        let mut nodes = nodes(3);
        let mut path = established(&mut nodes, seed);
        let SealedRequest { frame, reader } = path.seal(ServiceNodeId([99; 32]), b"body").unwrap();
        let (there, back, _) = travel(&mut nodes, frame, (200, b"answer"));
        // The middle forges the last hop's layer and seals it properly.
        let mut forged = back[0].clone();
        let at = at.index(forged.len() - 1) + 1;
        forged[at] ^= 1;
        let (guard, guard_number, _) = find(&mut nodes[0], 0, &there[0]);
        let (middle, number, _) = find(&mut nodes[1], 1, &there[1]);
        let forged = middle.relay_back(number, &forged, Vec::new()).unwrap();
        let forged = guard.relay_back(guard_number, &forged, Vec::new()).unwrap();
        prop_assert_eq!(reader.read(&forged), Err(ReadAnswerError::Forged(2)));
    }

    #[test]
    fn hostile_frames_never_panic(frame in vec(any::<u8>(), 0..300), seed: u64) {
        let node = node(1);
        if let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(&frame) {
            prop_assert!(Accepted::read(&node.secret, handshake, &mut rng(seed)).is_err());
        }
        let (opening, _) = PathOpening::start(&[node.hop], &mut rng(seed)).unwrap();
        prop_assert!(opening.finish(&frame).is_err());
    }
}

/// Where the layer begins in a Forward frame.
const FORWARD_TEXT: usize = 25;

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_hop_learns_its_neighbours_only() {
    let mut nodes = nodes(3);
    let mut rng = rng(1);
    let (opening, frame) = PathOpening::start(&hops(&nodes), &mut rng).unwrap();
    let mut seen = Vec::new();
    let answer = open(&mut nodes, 0, &frame, &mut rng, &mut seen);
    let mut path = opening.finish(&answer).unwrap();
    let destination = ServiceNodeId([99; 32]);
    let SealedRequest { frame, .. } = path.seal(destination, b"body").unwrap();
    let (there, ..) = travel(&mut nodes, frame, (200, b"answer"));
    let names = [nodes[0].hop.id, nodes[1].hop.id, nodes[2].hop.id, destination];
    for frame in seen.iter().chain(&there) {
        // On the links no node is named, and no key but the fresh ones.
        assert!(names.iter().all(|name| !contains(frame, &name.0)));
        assert!(nodes.iter().all(|node| !contains(frame, &node.hop.x25519)));
    }
    // Opened, the opening names the next node and nobody else.
    for (at, frame) in seen.iter().enumerate() {
        let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(frame) else { panic!("an opening") };
        let accepted = Accepted::read(&nodes[at].secret, handshake, &mut rng).unwrap();
        let next = accepted.next();
        assert_eq!(next.map(|next| next.node), names[..3].get(at + 1).copied());
        let frame = next.map(|next| next.frame.clone()).unwrap_or_default();
        assert!(names.iter().all(|name| !contains(&frame, &name.0)));
    }
    // The numbers of one request differ from hop to hop.
    let numbers: Vec<_> = there.iter().map(|frame| frame[17..25].to_vec()).collect();
    assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2]);
}

#[test]
fn a_request_is_served_once_however_often_it_comes() {
    let mut nodes = nodes(2);
    let mut path = established(&mut nodes, 1);
    let frames: Vec<_> = (0..4_u8).map(|number| path.seal(ServiceNodeId([9; 32]), &[number]).unwrap().frame).collect();
    // They may overtake each other.
    for number in [2, 0, 3, 1] {
        let (hop, numbered, sealed) = find(&mut nodes[0], 0, &frames[number]);
        assert!(hop.forward(numbered, &sealed, Vec::new()).is_ok());
    }
    for frame in &frames {
        let (hop, number, sealed) = find(&mut nodes[0], 0, frame);
        assert_eq!(hop.forward(number, &sealed, Vec::new()), Err(PathBroken));
        // Nor under another number.
        assert_eq!(hop.forward(number + 10, &sealed, Vec::new()), Err(PathBroken));
    }
}

#[test]
fn an_answer_is_for_its_own_request() {
    let mut nodes = nodes(3);
    let mut path = established(&mut nodes, 1);
    let first = path.seal(ServiceNodeId([9; 32]), b"one").unwrap();
    let second = path.seal(ServiceNodeId([9; 32]), b"two").unwrap();
    let (_, answer_to_first, _) = travel(&mut nodes, first.frame, (200, b"1"));
    let (_, answer_to_second, _) = travel(&mut nodes, second.frame, (200, b"2"));
    let (to_first, to_second) = (answer_to_first.last().unwrap(), answer_to_second.last().unwrap());
    assert_eq!(second.reader.read(to_first), Err(ReadAnswerError::Forged(0)));
    assert_eq!(first.reader.read(to_first).unwrap().body, b"1");
    assert_eq!(second.reader.read(to_second).unwrap().body, b"2");
}

#[test]
fn a_hop_that_cannot_go_on_says_so_under_its_own_key() {
    let mut nodes = nodes(3);
    let mut rng = rng(1);
    // While the path is opened: the middle does not find the last hop.
    let (opening, frame) = PathOpening::start(&hops(&nodes), &mut rng).unwrap();
    let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(&frame) else { panic!("an opening") };
    let guard = Accepted::read(&nodes[0].secret, handshake, &mut rng).unwrap();
    let to_middle = guard.next().unwrap().frame.clone();
    let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(&to_middle) else { panic!("an opening") };
    let middle = Accepted::read(&nodes[1].secret, handshake, &mut rng).unwrap();
    let answer = middle.failed(HopFailure::NextNotFound, &mut rng).unwrap();
    let (_, handshake) = guard.joined(&answer).unwrap();
    let answer = AnswerFrame::opened(PathId([0; 16]), &handshake);
    let failure = OpenPathError::Failed { at: 1, failure: HopFailure::NextNotFound };
    assert_eq!(opening.finish(&answer).unwrap_err(), failure);

    // Later: the guard loses the middle.
    let mut path = established(&mut nodes, 2);
    let SealedRequest { frame, reader } = path.seal(ServiceNodeId([9; 32]), b"one").unwrap();
    let (hop, number, sealed) = find(&mut nodes[0], 0, &frame);
    assert!(matches!(hop.forward(number, &sealed, Vec::new()), Ok(Forwarded::Relay { .. })));
    let answer = hop.fail(number, HopFailure::NextSilent).unwrap();
    assert_eq!(reader.read(&answer), Err(ReadAnswerError::Failed { at: 0, failure: HopFailure::NextSilent }));
}

#[test]
fn a_hop_that_forges_the_next_ones_handshake_is_found() {
    let mut nodes = nodes(2);
    let mut rng = rng(1);
    let (opening, frame) = PathOpening::start(&hops(&nodes), &mut rng).unwrap();
    let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(&frame) else { panic!("an opening") };
    let guard = Accepted::read(&nodes[0].secret, handshake, &mut rng).unwrap();
    // The guard makes keys of its own with what it would have to pass on: it does not have the other's secret.
    let to_last = guard.next().unwrap().frame.clone();
    let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(&to_last) else { panic!("an opening") };
    assert!(Accepted::read(&nodes[0].secret, handshake, &mut rng).is_err());
    let mut answer = open(&mut nodes[1..], 1, &to_last, &mut rng, &mut Vec::new());
    *answer.last_mut().unwrap() ^= 1;
    let (_, handshake) = guard.joined(&answer).unwrap();
    let answer = AnswerFrame::opened(PathId([0; 16]), &handshake);
    assert_eq!(opening.finish(&answer).unwrap_err(), OpenPathError::Forged(1));
}

#[test]
fn an_onion_request_travels_inside() {
    let mut nodes = nodes(3);
    let destination = node(50);
    let mut path = established(&mut nodes, 1);
    let mut rng = rng(2);
    let wrapped = wrap(&[], &destination.hop, b"request", WrapOptions::default(), &mut rng).unwrap();
    let SealedRequest { frame, .. } = path.seal(destination.hop.id, &wrapped.body).unwrap();
    let (_, _, body) = travel(&mut nodes, frame, (200, b""));
    let Ok(Peeled::Deliver { request, reply }) = peel(&destination.secret, &body) else { panic!("a request") };
    assert_eq!(request, b"request");
    let answer = reply.seal(200, ReplyBody::Text("done"), &mut rng).unwrap();
    assert_eq!(wrapped.opener.open(&answer), Ok(Answer { status: 200, body: "done".into() }));
}

#[test]
fn the_largest_body_travels_and_sizes_are_those_of_classes() {
    let mut nodes = nodes(3);
    let mut path = established(&mut nodes, 1);
    let sizes: Vec<_> =
        [1, 500, 900].map(|size| path.seal(ServiceNodeId([9; 32]), &vec![1; size]).unwrap().frame.len()).into();
    assert!(sizes.iter().all(|size| *size == sizes[0]));
    let body = vec![3; MAX_BODY_BYTES];
    let SealedRequest { frame, reader } = path.seal(ServiceNodeId([9; 32]), &body).unwrap();
    let (_, back, delivered) = travel(&mut nodes, frame, (200, &body));
    assert!(delivered == body);
    assert!(reader.read(back.last().unwrap()).unwrap().body == body);
}

#[test]
fn paths_are_bounded_and_end() {
    let mut rng = rng(1);
    let node = node(1);
    let (mut table, secret, hop) = (node.table, node.secret, node.hop);
    let mut insert = |table: &mut PathTable<u8>, neighbour, share, now| {
        let (_, frame) = PathOpening::start(&[hop], &mut rng).unwrap();
        let Ok(LinkFrame::Open { handshake }) = LinkFrame::parse(&frame) else { panic!("an opening") };
        let joined = Accepted::read(&secret, handshake, &mut rng).unwrap().end().unwrap();
        table.insert(neighbour, share, joined, now, &mut rng).map(|frame| {
            let Ok(AnswerFrame::Opened { path, .. }) = AnswerFrame::parse(&frame) else { panic!("an answer") };
            path
        })
    };
    let first = insert(&mut table, 1, 2, 0).unwrap();
    insert(&mut table, 1, 2, 0).unwrap();
    assert_eq!(insert(&mut table, 1, 2, 0), Err(Refusal::NoRoom), "a neighbour's share");
    insert(&mut table, 2, 2, 0).unwrap();
    insert(&mut table, 3, 2, 0).unwrap();
    assert_eq!(insert(&mut table, 4, 2, 0), Err(Refusal::NoRoom), "all");
    assert_eq!(table.len(), 4);

    // A path is its neighbour's.
    assert_eq!(table.find(2, first, 1).unwrap_err(), Refusal::Unknown);
    assert!(table.close(2, first).is_none());
    let one = table.find(1, first, 1).unwrap();
    let two = table.find(1, first, 1).unwrap();
    assert_eq!(table.find(1, first, 1).unwrap_err(), Refusal::NoRoom, "two requests are under way");
    drop((one, two));
    // In use it lives ten minutes and not longer, unused three.
    let mut now = 0;
    while now + PATH_IDLE - 1 < PATH_LIFE {
        now += PATH_IDLE - 1;
        assert!(table.find(1, first, now).is_ok());
    }
    assert_eq!(table.find(1, first, PATH_LIFE).unwrap_err(), Refusal::Unknown);
    assert!(insert(&mut table, 1, 1, PATH_LIFE).is_ok(), "the idle ones made room");
    assert_eq!(table.len(), 1);
    table.expire(2 * PATH_LIFE);
    assert!(table.is_empty());

    let last = insert(&mut table, 1, 1, 3 * PATH_LIFE).unwrap();
    assert!(table.close(1, last).is_some());
    assert!(insert(&mut table, 1, 1, 3 * PATH_LIFE).is_ok());
}
