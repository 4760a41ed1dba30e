use super::*;
use ed25519_dalek::{Signer, SigningKey};
use proptest::{collection::vec, prelude::*};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use skep_proto::storage::{MemberFailure, MemberStored, PROTOCOL_GENERATION};

const HASH: [u8; 32] = [7; 32];

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn id(number: u8) -> ServiceNodeId {
    ServiceNodeId(key(number).verifying_key().to_bytes())
}

fn deposits(members: u8) -> Deposits {
    Deposits::new(MessageHash::from(HASH), (0..members).map(id), &mut ChaCha20Rng::seed_from_u64(1))
}

/// What a member says of another: signed by that other, by a third party, over another message, or failed.
#[derive(Clone, Copy, Debug)]
enum Word {
    Signed,
    Forged,
    OtherMessage,
    Failed,
}

fn answer(words: &[(u8, Word)]) -> Answer {
    let stored = |hash: [u8; 32], signer: u8| {
        let hash = MessageHash::from(hash);
        let signature = key(signer).sign(&signed::stored(&hash)).to_bytes();
        MemberResult::Done(MemberStored { hash, signature, expiry: 1, already: false, t: None })
    };
    let swarm = words.iter().map(|(member, word)| {
        let result = match word {
            Word::Signed => stored(HASH, *member),
            Word::Forged => stored(HASH, member.wrapping_add(1)),
            Word::OtherMessage => stored([8; 32], *member),
            Word::Failed => MemberResult::Failed(MemberFailure::Timeout),
        };
        (HexKey(id(*member).0), result)
    });
    let response = StoreResponse { swarm: swarm.collect(), hash: None, t: 1, hf: PROTOCOL_GENERATION };
    Answer { status: 200, body: serde_json::to_string(&response).unwrap() }
}

fn words() -> impl Strategy<Value = Vec<(u8, Word)>> {
    let word = prop_oneof![Just(Word::Signed), Just(Word::Forged), Just(Word::OtherMessage), Just(Word::Failed)];
    vec((0..12_u8, word), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_members_own_signatures_count(members in 1..10_u8, answers in vec(words(), 0..4)) {
        let mut deposits = deposits(members);
        let mut signed = std::collections::BTreeSet::new();
        for words in answers {
            // Of several words about one member, the answer holds the last.
            let last: BTreeMap<_, _> = words.iter().copied().collect();
            signed.extend(last.iter().filter(|(member, word)| {
                **member < members && matches!(word, Word::Signed)
            }).map(|(member, _)| id(*member)));
            prop_assert_eq!(deposits.answered(&answer(&words)), Verdict::Taken);
        }
        let receipts: Vec<_> = deposits.receipts().map(|receipt| receipt.member).collect();
        prop_assert_eq!(&receipts, &signed.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(deposits.is_sent(), receipts.len() >= usize::from(members).min(COPIES));
    }

    #[test]
    fn members_off_the_path_are_asked_once_each_until_enough_have_signed(
        members in 1..10_u8,
        on_path in vec(0..10_u8, 0..3),
        works in vec(any::<bool>(), 10),
    ) {
        let mut deposits = deposits(members);
        let path: Vec<_> = on_path.iter().map(|number| id(*number)).collect();
        let mut asked = Vec::new();
        loop {
            let next = deposits.next(&path);
            if next.is_empty() {
                break;
            }
            prop_assert!(deposits.receipts().count() + next.len() <= COPIES);
            for member in next {
                prop_assert!(!asked.contains(&member) && !path.contains(&member));
                asked.push(member);
                let number = (0..members).find(|number| id(*number) == member).unwrap();
                if works[usize::from(number)] {
                    deposits.answered(&answer(&[(number, Word::Signed)]));
                }
            }
        }
        let open = (0..members).filter(|number| !path.contains(&id(*number))).count();
        prop_assert!(deposits.is_sent() || asked.len() == open);
        prop_assert!(!deposits.is_sent() || deposits.untried().is_empty());
    }

    #[test]
    fn strangers_answers_never_panic_and_never_count(status: u16, body in ".{0,80}") {
        let mut deposits = deposits(3);
        deposits.answered(&Answer { status, body });
        prop_assert!(!deposits.is_sent() && deposits.receipts().next().is_none());
    }
}

#[test]
fn refusals_are_told_apart() {
    let mut deposits = deposits(3);
    let mut verdict = |status, body: &str| deposits.answered(&Answer { status, body: body.into() });
    assert_eq!(verdict(400, r#"{"reason":"work","effort":40,"block":"00"}"#), Verdict::MoreWork(40));
    assert_eq!(verdict(400, "invalid json"), Verdict::Refused);
    assert_eq!(verdict(406, "Timestamp error: check your clock"), Verdict::WrongClock);
    assert_eq!(verdict(421, "{}"), Verdict::WrongSwarm);
    assert_eq!(verdict(200, "{}"), Verdict::Refused);
    assert_eq!(verdict(503, ""), Verdict::Refused);
}

#[test]
fn a_swarm_without_members_never_counts() {
    assert!(!deposits(0).is_sent());
}

#[test]
fn a_postponed_member_is_asked_later() {
    let mut deposits = deposits(1);
    assert_eq!(deposits.next(&[]), [id(0)]);
    assert!(deposits.next(&[]).is_empty());
    deposits.postpone(id(0));
    assert_eq!(deposits.untried(), [id(0)]);
    assert_eq!(deposits.next(&[]), [id(0)]);
}
