//! What nodes say of themselves: what is taken, what is not, and that nothing is taken twice.

use super::*;
use crate::{
    Call, EndpointChangedAt,
    announce::{LIFE, Refusal},
};
use frame_support::{dispatch::GetDispatchInfo, traits::Authorize};
use frame_system::RawOrigin;
use skep_primitives::Announcement;
use sp_runtime::{
    traits::Dispatchable,
    transaction_validity::{
        InvalidTransaction, TransactionSource, TransactionValidityError, UnknownTransaction, ValidTransaction,
    },
};

/// Blocks of an epoch, and for which an announcement counts, with the mock's blocks of 2 s.
const EPOCH: u32 = 600;
const LIFE_BLOCKS: u32 = (LIFE / 2_000) as u32;

fn said(number: u8, endpoint: Endpoint, after: u32) -> Announcement {
    Announcement { node: node(number), endpoint, version: VERSION, after }
}

fn signed_by(number: u8, announcement: Announcement) -> RuntimeCall {
    let signature = key(number).sign(&signing::announcement(&GENESIS, &announcement)).0;
    Call::<Test>::announce { announcement, signature }.into()
}

/// What a node signs of itself.
fn call(announcement: Announcement) -> RuntimeCall {
    let number = (1..=ACCOUNTS).find(|number| node(*number) == announcement.node).expect("one of ours");
    signed_by(number, announcement)
}

fn pool(call: &RuntimeCall) -> Result<ValidTransaction, TransactionValidityError> {
    let answer = call.authorize(TransactionSource::External).expect("the call can be authorized");
    answer.map(|(validity, _)| validity)
}

/// As a block does it: authorized, then dispatched.
fn carry_out(call: RuntimeCall) {
    assert!(pool(&call).is_ok());
    assert_ok!(call.dispatch(RawOrigin::Authorized.into()));
}

fn refused(refusal: Refusal) -> Result<ValidTransaction, TransactionValidityError> {
    Err(refusal.into())
}

#[test]
fn a_node_says_where_it_is_for_nothing() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        run_to(5);
        let call = call(said(1, endpoint(9), 3));
        let validity = pool(&call).expect("taken");
        assert_eq!((validity.longevity, validity.propagate), (u64::from(3 + LIFE_BLOCKS - 5 + 1), true));
        assert_eq!(call.get_dispatch_info().pays_fee, frame_support::dispatch::Pays::No);
        carry_out(call);
        let record = Roster::get(node(1)).expect("registered");
        assert_eq!((record.endpoint, record.version), (endpoint(9), VERSION));
        assert_eq!(
            events().last(),
            Some(&Event::EndpointUpdated { node: node(1), endpoint: endpoint(9), version: VERSION })
        );
        // Its former address is free.
        assert_ok!(ServiceNodes::register(
            origin(2),
            node(2),
            proof(2, 2),
            fee(),
            endpoint(1),
            VERSION,
            REQUIREMENT,
            Default::default()
        ));
    });
}

#[test]
fn only_the_nodes_own_key_speaks_for_it_on_this_chain_and_of_this() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        run_to(5);
        let good = said(1, endpoint(9), 3);
        let bad = Err(InvalidTransaction::BadProof.into());
        assert_eq!(pool(&signed_by(2, good)), bad, "another's key");
        let elsewhere = key(1).sign(&signing::announcement(&[1; 32], &good)).0;
        assert_eq!(
            pool(&Call::<Test>::announce { announcement: good, signature: elsewhere }.into()),
            bad,
            "another chain"
        );
        let RuntimeCall::ServiceNodes(Call::announce { signature, .. }) = call(good) else { panic!("ours") };
        for other in [
            Announcement { endpoint: endpoint(8), ..good },
            Announcement { version: SoftwareVersion([9, 9, 9]), ..good },
            Announcement { after: 4, ..good },
        ] {
            assert_eq!(pool(&Call::<Test>::announce { announcement: other, signature }.into()), bad, "{other:?}");
        }
        // Nobody carries out what was not authorized.
        for origin in [RuntimeOrigin::none(), origin(1), RuntimeOrigin::root()] {
            assert_noop!(call(good).dispatch(origin).map_err(|error| error.error), DispatchError::BadOrigin);
        }
        carry_out(call(good));
    });
}

#[test]
fn none_is_taken_twice_nor_undoes_what_came_after_it() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        run_to(3);
        let (first, rival) = (call(said(1, endpoint(9), 2)), call(said(1, endpoint(8), 2)));
        let younger = call(said(1, endpoint(7), 3));
        // One of a node waits in the pool at a time; the younger takes its place.
        let (old, young) = (pool(&first).expect("taken"), pool(&younger).expect("taken"));
        assert!(old.provides == young.provides && old.priority < young.priority);
        carry_out(first.clone());
        for replayed in [&first, &rival, &younger] {
            assert_eq!(pool(replayed), refused(Refusal::Overtaken));
            assert_noop!(
                replayed.clone().dispatch(RawOrigin::Authorized.into()).map_err(|error| error.error),
                Failure::Overtaken
            );
        }
        // A change by the operator counts as well.
        run_to(10);
        let prepared = call(said(1, endpoint(8), 9));
        assert_ok!(ServiceNodes::update_endpoint(origin(1), node(1), endpoint(6), VERSION));
        assert_eq!(pool(&prepared), refused(Refusal::Overtaken));
        // What was said before the node was registered is not of this registration.
        assert_ok!(register(2, 2, REQUIREMENT));
        assert_eq!(pool(&call(said(2, endpoint(5), 10))), refused(Refusal::Overtaken));
    });
}

#[test]
fn once_an_epoch_is_enough_and_the_operator_may_mend_at_once() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        run_to(3);
        carry_out(call(said(1, endpoint(9), 2)));
        run_to(5);
        assert_eq!(pool(&call(said(1, endpoint(8), 4))), refused(Refusal::TooSoon));
        assert_ok!(ServiceNodes::update_endpoint(origin(1), node(1), endpoint(7), VERSION));
        run_to(5 + EPOCH - 1);
        assert_eq!(pool(&call(said(1, endpoint(8), 5 + EPOCH - 2))), refused(Refusal::TooSoon));
        run_to(5 + EPOCH);
        carry_out(call(said(1, endpoint(8), 5 + EPOCH - 1)));
        assert_eq!(EndpointChangedAt::<Test>::get(node(1)), Some(5 + EPOCH));
    });
}

#[test]
fn what_changes_nothing_or_cannot_be_is_refused_before_any_signature() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert_ok!(register(2, 2, REQUIREMENT));
        run_to(5);
        let unsigned = |announcement| Call::<Test>::announce { announcement, signature: [0; 64] }.into();
        let tell = |announcement| pool(&unsigned(announcement));
        assert_eq!(tell(said(3, endpoint(3), 4)), refused(Refusal::UnknownNode));
        assert_eq!(tell(said(1, endpoint(1), 4)), refused(Refusal::NothingNew));
        assert_eq!(tell(said(1, endpoint(9), 6)), refused(Refusal::Ahead));
        assert_eq!(tell(said(1, endpoint(2), 4)), refused(Refusal::EndpointTaken));
        assert_eq!(tell(said(1, Endpoint { https_port: 0, ..endpoint(9) }, 4)), refused(Refusal::BadEndpoint));
        assert_eq!(tell(said(1, Endpoint { ipv4: [224, 0, 0, 1], ..endpoint(9) }, 4)), refused(Refusal::BadEndpoint));
        run_to(4 + LIFE_BLOCKS);
        assert!(pool(&call(said(1, endpoint(9), 4))).is_ok());
        run_to(5 + LIFE_BLOCKS);
        assert_eq!(tell(said(1, endpoint(9), 4)), refused(Refusal::Expired));
        // What may be right later, or on another fork, is forgotten and not held against the sender.
        assert_eq!(TransactionValidityError::from(Refusal::Ahead), UnknownTransaction::Custom(1).into());
        assert_eq!(TransactionValidityError::from(Refusal::Expired), InvalidTransaction::Stale.into());
    });
    ExtBuilder { private_addresses: false }.run(|| {
        let public = |last: u8| Endpoint { ipv4: [9, 9, 9, last], ..endpoint(1) };
        assert_ok!(ServiceNodes::register(
            origin(1),
            node(1),
            proof(1, 1),
            fee(),
            public(1),
            VERSION,
            REQUIREMENT,
            Default::default()
        ));
        run_to(3);
        assert_eq!(pool(&call(said(1, endpoint(1), 2))), refused(Refusal::BadEndpoint));
        carry_out(call(said(1, public(2), 2)));
    });
}

#[test]
fn what_a_key_said_before_it_was_handed_over_is_not_said_again() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        run_to(3);
        let said = call(said(1, endpoint(9), 2));
        carry_out(said.clone());
        assert_ok!(ServiceNodes::hand_over(origin(1), node(1), node(2), proof(2, 1)));
        assert_ok!(ServiceNodes::update_endpoint(origin(1), node(2), endpoint(8), VERSION));
        // The key is the node's again, once it was forgotten that it had been before.
        HandedOver::take();
        assert_ok!(ServiceNodes::hand_over(origin(1), node(2), node(1), proof(1, 1)));
        assert_eq!(pool(&said), refused(Refusal::Overtaken));
        assert_eq!(Roster::get(node(1)).expect("registered").endpoint, endpoint(8));
    });
}

#[test]
fn a_decommissioned_node_may_say_where_it_is_and_one_that_is_gone_may_not() {
    run(|| {
        assert_ok!(register(1, 1, REQUIREMENT));
        assert!(ServiceNodes::decommission(node(1), 40, Default::default()));
        run_to(3);
        carry_out(call(said(1, endpoint(9), 2)));
        assert!(matches!(state(1), Some(NodeState::Decommissioned { .. })));
        assert!(ServiceNodes::deregister(node(1)));
        assert_eq!(EndpointChangedAt::<Test>::get(node(1)), None);
        assert_eq!(pool(&call(said(1, endpoint(8), 3))), refused(Refusal::UnknownNode));
    });
}
