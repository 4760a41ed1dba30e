use super::*;
use crate::content::tests::name;
use proptest::prelude::*;

proptest! {
    #[test]
    fn requests_are_read_back(
        timestamp: u64, introduction in "\\PC{0,100}", name in name(), identity_key: [u8; 32], one_time_key: [u8; 32],
        fallback_key: [u8; 32],
    ) {
        let prekeys = PrekeyBundle { identity_key, one_time_key, fallback_key };
        let request = FriendRequest::new(timestamp, introduction, name, prekeys).unwrap();
        prop_assert_eq!(FriendRequest::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn strangers_bytes_never_panic(bytes: Vec<u8>) {
        let _ = FriendRequest::decode(&bytes);
    }

    #[test]
    fn both_sides_of_crossed_requests_agree(one: [u8; 32], other: [u8; 32]) {
        prop_assume!(one != other);
        let [one, other] = [one, other].map(AccountAddress::from_x25519);
        let accepting = crossed_requests(&one, &other) == Crossed::AcceptTheirs;
        prop_assert_eq!(crossed_requests(&other, &one) == Crossed::AcceptTheirs, !accepting);
        prop_assert_eq!(accepting, other < one);
    }
}

#[test]
fn requests_have_bounds() {
    let prekeys = PrekeyBundle { identity_key: [1; 32], one_time_key: [2; 32], fallback_key: [3; 32] };
    let with = |introduction: usize| FriendRequest::new(0, "x".repeat(introduction), "Ada".parse().unwrap(), prekeys);
    assert_eq!(with(400).unwrap().id(), prekeys.one_time_key);
    assert_eq!(with(401), Err(FriendRequestError::IntroductionTooLong(401)));

    let mut wire = wire::FriendRequest {
        timestamp: 0,
        introduction: "x".repeat(401),
        display_name: "Ada".into(),
        prekeys: Some(prekeys.into()),
    };
    assert_eq!(FriendRequest::decode(&wire.encode_to_vec()), Err(FriendRequestError::IntroductionTooLong(401)));
    wire.introduction.clear();
    wire.prekeys = None;
    let missing = ContentError::Missing("friend_request.prekeys");
    assert_eq!(FriendRequest::decode(&wire.encode_to_vec()), Err(missing.into()));
}
