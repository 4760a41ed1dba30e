//! What owners order: deleting, expiring, delegating. Every member does it, on disk, and signs for it.

use crate::{
    storage::read,
    support::{Network, Owner, config, now_ms, view},
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use skep_mailbox::{Record, Store};
use skep_proto::storage::{
    Access, Action, Command, CommandDone, CommandEffect, CommandResponse, Delegation, ExpiriesRequest,
    ExpiriesResponse, ExpiryMode, Hashes, MemberFailure, MemberResult, MessageHash, Method, Namespace, OwnerAuth,
    Request, RetrieveRequest, RetrieveResponse, RevokedRequest, RevokedResponse, Scope, StoreRequest, StoreResponse,
    SubaccountToken, TimedAuth, Times, signed,
};
use std::collections::BTreeSet;

fn order(owner: &Owner, action: Action) -> Method {
    let auth = owner.auth(&signed::command(&action), 0).auth;
    Method::Command(Command { account: owner.account(), action, auth })
}

/// The effect every member signed for; all the same.
async fn effect(network: &Network, node: usize, method: Method) -> CommandEffect {
    let Method::Command(Command { account, action, .. }) = &method else { panic!("an order") };
    let (account, action) = (*account, action.clone());
    let (status, answer) = network.ask(node, method).await;
    assert_eq!(status, 200, "{answer:?}");
    let response: CommandResponse = read(answer);
    assert_eq!(response.swarm.len(), network.nodes.len());
    let mut effects = Vec::new();
    for (member, result) in response.swarm {
        let MemberResult::Done(CommandDone { effect, signature }) = result else { panic!("{member}: {result:?}") };
        let text = signed::done(&account, &action, &effect).expect("an effect of this order");
        let key = VerifyingKey::from_bytes(&member.0).expect("a key");
        key.verify_strict(&text, &Signature::from_bytes(&signature)).expect("the member signed it");
        effects.push(effect);
    }
    let first = effects.remove(0);
    assert!(effects.iter().all(|effect| *effect == first), "members differ: {effects:?}");
    first
}

async fn store(network: &Network, request: StoreRequest) -> MessageHash {
    let hash = MessageHash::of(&request.account, request.namespace, &request.data);
    let (status, answer) = network.ask(0, Method::Store(request)).await;
    assert_eq!(status, 200, "{answer:?}");
    hash
}

async fn kept(network: &Network, node: usize, owner: &Owner) -> Vec<MessageHash> {
    let (status, answer) = network.ask(node, Method::Retrieve(owner.retrieval())).await;
    assert_eq!(status, 200, "{answer:?}");
    read::<RetrieveResponse>(answer).messages.into_iter().map(|message| message.hash).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_has_the_bytes_does_not_bring_a_deleted_message_back() {
    let network = Network::start(&[0, 0, 0]).await;
    let owner = Owner::new(52);
    let deposit = owner.deposit(b"a");
    let hash = store(&network, deposit.clone()).await;
    effect(&network, 1, order(&owner, Action::Delete { messages: vec![hash], required: true })).await;
    // Members that are passed it on judge it as well.
    let (status, answer) = network.ask(2, Method::Store(deposit.clone())).await;
    assert_eq!(status, 500, "{answer:?}");
    let StoreResponse { swarm, hash: told, .. } = read(answer);
    assert_eq!((swarm.len(), told), (3, None));
    for result in swarm.values() {
        let gone = |result| matches!(result, MemberResult::Failed(MemberFailure::Refused { code: 410, .. }));
        assert!(gone(result.clone()), "{result:?}");
    }
    for node in 0..3 {
        assert_eq!(kept(&network, node, &owner).await, []);
    }
    let expiry = deposit.expiry;
    let timestamp = now_ms();
    store(&network, StoreRequest { timestamp, expiry, ..deposit }).await;
    for node in 0..3 {
        assert_eq!(kept(&network, node, &owner).await, [hash], "the same words, said again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_deletes_is_gone_everywhere() {
    let network = Network::start(&[0, 0, 0]).await;
    let owner = Owner::new(50);
    let mut hashes = Vec::new();
    for data in [b"a", b"b", b"c"] {
        hashes.push(store(&network, owner.deposit(data)).await);
    }
    let delete =
        |hashes: &[MessageHash], required| order(&owner, Action::Delete { messages: hashes.to_vec(), required });
    let deleted = effect(&network, 1, delete(&hashes[..1], true)).await;
    assert_eq!(deleted, CommandEffect::Deleted { deleted: Hashes::List(vec![hashes[0]]) });
    for node in 0..3 {
        assert_eq!(kept(&network, node, &owner).await, hashes[1..]);
    }
    let none = effect(&network, 2, delete(&hashes[..1], false)).await;
    assert_eq!(none, CommandEffect::Deleted { deleted: Hashes::List(vec![]) });
    let (status, answer) = network.ask(2, delete(&hashes[..1], true)).await;
    assert_eq!(status, 404, "{answer:?}");

    let stranger = Owner::new(51);
    let forged = Action::Delete { messages: hashes.clone(), required: false };
    let auth = stranger.auth(&signed::command(&forged), 0).auth;
    let forged = Command { account: owner.account(), action: forged, auth };
    assert_eq!(
        network.ask(0, Method::Command(forged)).await,
        (401, json!("delete_msgs signature verification failed"))
    );

    let all = effect(&network, 0, order(&owner, Action::DeleteAll { scope: Scope::All, timestamp: now_ms() })).await;
    let CommandEffect::Deleted { deleted: Hashes::ByNamespace(by_namespace) } = all else { panic!("{all:?}") };
    let gone: BTreeSet<_> = by_namespace[&Namespace::DEFAULT].iter().copied().collect();
    assert_eq!(gone, hashes[1..].iter().copied().collect());
    assert!(kept(&network, 1, &owner).await.is_empty());
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expiries_move_everywhere_and_are_told() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    let (a, b) = (store(&network, owner.deposit(b"a")).await, store(&network, owner.deposit(b"b")).await);
    let later = now_ms() + 7_200_000;
    let expire =
        |messages: Vec<MessageHash>, expiry: Vec<u64>, mode| order(&owner, Action::Expire { messages, expiry, mode });
    let extended = effect(&network, 0, expire(vec![a], vec![later], ExpiryMode::Extend)).await;
    let CommandEffect::Expired { expiry, updated, unchanged } = extended else { panic!("{extended:?}") };
    assert_eq!((expiry, updated, unchanged), (Times::One(later), vec![a], Some([].into())));
    let shortened = effect(&network, 1, expire(vec![a, b], vec![later - 1, later], ExpiryMode::Shorten)).await;
    let CommandEffect::Expired { expiry, updated, unchanged } = shortened else { panic!("{shortened:?}") };
    assert_eq!((expiry, updated), (Times::Each(vec![later - 1]), vec![a]));
    assert_eq!(unchanged.map(|unchanged| unchanged.into_keys().collect()), Some(vec![b]));

    let soon = now_ms() + 600_000;
    let limit = Action::ExpireAll { scope: Scope::One(Namespace::DEFAULT), expiry: soon };
    let CommandEffect::Updated { updated } = effect(&network, 0, order(&owner, limit)).await else { panic!("limited") };
    assert_eq!(updated.iter().count(), 2);
    let now = now_ms();
    let ask = ExpiriesRequest {
        account: owner.account(),
        messages: vec![a, b],
        auth: owner.auth(&signed::get_expiries(now, &[a, b]), now),
    };
    for node in 0..2 {
        let (status, answer) = network.ask(node, Method::Expiries(ask.clone())).await;
        assert_eq!(status, 200, "{answer:?}");
        assert_eq!(read::<ExpiriesResponse>(answer).expiries, [(a, soon), (b, soon)].into());
    }
    let passed = expire(vec![a], vec![now - 120_000], ExpiryMode::Set);
    let refusal = (401, json!("expire: timestamp should be >= current time"));
    assert_eq!(network.ask(0, passed).await, refusal);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subaccounts_serve_until_they_are_revoked() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    let user = SigningKey::from_bytes(&[9; 32]);
    let token = SubaccountToken::new(5, Access::READ | Access::WRITE, &user.verifying_key().to_bytes());
    let delegated = |message: &[u8], timestamp| {
        let TimedAuth { auth, .. } = owner.auth(message, timestamp);
        let subaccount = Some(Delegation { token, signature: owner.auth(token.as_bytes(), 0).auth.signature });
        TimedAuth { auth: OwnerAuth { signature: user.sign(message).to_bytes(), subaccount, ..auth }, timestamp }
    };
    let namespace = Namespace(42);
    let deposit = |data: &[u8]| {
        let now = now_ms();
        let auth = Some(delegated(&signed::store(namespace, now), now));
        StoreRequest { namespace, auth, ..owner.deposit(data) }
    };
    let retrieval = || {
        let now = now_ms();
        let auth = Some(delegated(&signed::retrieve(namespace, now), now));
        Method::Retrieve(RetrieveRequest { namespace, auth, ..owner.retrieval() })
    };
    let hash = store(&network, deposit(b"from a subaccount")).await;
    let (status, answer) = network.ask(1, retrieval()).await;
    assert_eq!(status, 200, "{answer:?}");
    assert_eq!(read::<RetrieveResponse>(answer).messages[0].hash, hash);
    let delete = Action::Delete { messages: vec![hash], required: false };
    let auth = delegated(&signed::command(&delete), 0).auth;
    let command = Command { account: owner.account(), auth, action: delete };
    assert_eq!(network.ask(0, Method::Command(command)).await.0, 401, "it may not delete");

    let timestamp = now_ms();
    let revoke = order(&owner, Action::Revoke { tokens: vec![token], timestamp });
    assert_eq!(effect(&network, 0, revoke).await, CommandEffect::Revoked {});
    for node in 0..2 {
        let (status, text) = network.ask(node, retrieval()).await;
        assert_eq!((status, text.as_str().unwrap_or_default()), (401, "retrieve signature verification failed"));
        let (status, text) = network.ask(node, Method::Store(deposit(b"again"))).await;
        assert_eq!((status, text.as_str().unwrap_or_default()), (401, "store signature verification failed"));
        let auth = owner.auth(&signed::revoked_subaccounts(timestamp), timestamp);
        let ask = Method::Revoked(RevokedRequest { account: owner.account(), auth });
        let told: RevokedResponse = read(network.ask(node, ask).await.1);
        assert_eq!((told.revoked, told.revoked_subaccounts), (vec![token], vec![token]));
    }
    // Said later: of two words of one moment the one that revokes counts.
    let unrevoke = order(&owner, Action::Unrevoke { tokens: vec![token], timestamp: timestamp + 1 });
    assert_eq!(effect(&network, 1, unrevoke).await, CommandEffect::Unrevoked { count: 1 });
    assert_eq!(network.ask(0, retrieval()).await.0, 200);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_is_its_owners_to_fill_and_everyones_to_read() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    let namespace = Namespace(-21);
    let publish = |data: &[u8]| {
        let now = now_ms();
        let auth = Some(owner.auth(&signed::store(namespace, now), now));
        StoreRequest { namespace, auth, ..owner.deposit(data) }
    };
    store(&network, publish(b"first")).await;
    let second = store(&network, publish(b"second")).await;
    let read_it = RetrieveRequest { namespace, auth: None, ..owner.retrieval() };
    let (status, answer) = network.ask(1, Method::Retrieve(read_it)).await;
    assert_eq!(status, 200, "{answer:?}");
    let hashes: Vec<_> = read::<RetrieveResponse>(answer).messages.iter().map(|message| message.hash).collect();
    assert_eq!(hashes, [second]);
    let unsigned = StoreRequest { auth: None, ..publish(b"third") };
    let refusal = (401, json!("store: signature required to store to namespace -21"));
    assert_eq!(network.ask(0, Method::Store(unsigned)).await, refusal);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_stops_at_the_first_failure_and_a_branch_is_taken() {
    let network = Network::start(&[0]).await;
    let owner = Owner::new(50);
    let unsigned = Method::Retrieve(RetrieveRequest { auth: None, ..owner.retrieval() });
    let sequence = Request::Sequence(vec![Method::Info, unsigned, Method::Store(owner.deposit(b"never"))]);
    let (status, answer) = network.post(0, "/storage_rpc/v1", serde_json::to_vec(&sequence).expect("serializes")).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let codes: Vec<_> = answer["results"].as_array().expect("a list").iter().map(|result| &result["code"]).collect();
    assert_eq!(codes, [200, 401]);
    assert_eq!(answer["results"][1]["body"], "retrieve: request signature required");
    assert!(kept(&network, 0, &owner).await.is_empty());

    let ask = async |condition: Value| {
        let params = json!({
            "if": condition,
            "then": {"method": "batch", "params": {"requests": [{"method": "info", "params": {}}]}},
        });
        let body = json!({"method": "ifelse", "params": params}).to_string().into_bytes();
        let (status, answer) = network.post(0, "/storage_rpc/v1", body).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).expect("JSON")
    };
    let taken = ask(json!({"hf_at_least": [19, 0], "height_at_least": 0})).await;
    assert_eq!(taken["condition"], true);
    assert_eq!(taken["result"]["code"], 200);
    assert_eq!(taken["result"]["body"]["results"][0]["code"], 200);
    let not_taken = ask(json!({"v_before": [0]})).await;
    assert_eq!((&not_taken["condition"], not_taken.get("result")), (&json!(false), None));
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_for_other_swarms_are_sent_there() {
    let network = Network::start(&[0, 1 << 63]).await;
    let roster = view(network.entries.clone());
    let is_elsewhere = |owner: &Owner| roster.swarm_of(&owner.account().key()) == Some(network.entries[1].swarm);
    let owner = (50..).map(Owner::new).find(is_elsewhere).expect("one of many");
    let delete = order(&owner, Action::DeleteAll { scope: Scope::All, timestamp: now_ms() });
    let (status, answer) = network.ask(0, delete.clone()).await;
    assert_eq!((status, &answer["swarm"]), (421, &json!("8000000000000000")));
    assert_eq!(network.ask(1, delete).await.0, 200);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_hashes_are_signed_for_as_they_came() {
    let network = Network::start(&[0, 0]).await;
    let owner = Owner::new(50);
    let hash = store(&network, owner.deposit(b"a")).await;
    // Texts whose last character says more than a hash has room for; some clients name the first beside every real one.
    let made_up: [MessageHash; 2] =
        ["///////////////////////////////////////////", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"]
            .map(|text| text.parse().expect("43 characters of base64"));
    let named = vec![made_up[0], hash, made_up[1]];
    let now = now_ms();
    let auth = owner.auth(&signed::get_expiries(now, &named), now);
    let question = ExpiriesRequest { account: owner.account(), messages: named.clone(), auth };
    let (status, answer) = network.ask(0, Method::Expiries(question)).await;
    assert_eq!(status, 200, "{answer}");
    let keys: Vec<_> = answer.as_object().into_iter().flat_map(|body| body.keys()).collect();
    assert_eq!(keys, ["expiries"], "compared as a whole by others' tests");
    assert_eq!(read::<ExpiriesResponse>(answer).expiries.into_keys().collect::<Vec<_>>(), [hash]);
    let deleted = effect(&network, 1, order(&owner, Action::Delete { messages: named, required: true })).await;
    assert_eq!(deleted, CommandEffect::Deleted { deleted: Hashes::List(vec![hash]) });
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_orders_take_no_more_memory_than_there_is() {
    const KEPT: u32 = 50_000;
    let network = Network::start_with(&[0, 0], &config("limits = { memory_mib = 24 }")).await;
    let owner = Owner::new(57);
    let deposit = |number: u32| StoreRequest { data: number.to_be_bytes().to_vec(), ..owner.deposit(b"") };
    let records: Vec<_> = (0..KEPT).map(|number| Record::new(deposit(number))).collect();
    for store in &network.stores {
        store.put(&records, now_ms()).expect("kept");
    }
    let all = || order(&owner, Action::DeleteAll { scope: Scope::One(Namespace::DEFAULT), timestamp: now_ms() });
    let batch = serde_json::to_vec(&Request::Batch(vec![all(), all()])).expect("serializes");
    let (status, answer) = network.post(0, "/storage_rpc/v1", batch).await;
    assert_eq!((status, answer.as_str()), (503, "Server busy, try again later"), "two such answers are too much");
    for store in &network.stores {
        assert_eq!(store.usage().messages, u64::from(KEPT), "and nothing has been done");
    }
    let deleted = effect(&network, 0, all()).await;
    assert!(matches!(deleted, CommandEffect::Deleted { deleted } if deleted.iter().count() == KEPT as usize));
    network.stop().await;
}
