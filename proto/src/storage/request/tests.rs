#![expect(clippy::wildcard_enum_match_arm, reason = "what is not named is left as it is")]

use super::*;
use crate::{
    peer::Work,
    storage::{
        Access, HexKey, MessageHash, Namespace, Scope, SubaccountToken,
        limits::{MAX_BATCH, MAX_MESSAGE_BASE64, MAX_RECEIPTS, MAX_RETRIEVE_BYTES, MIN_TIMESTAMP},
        listening::{DeliveryToken, Handle, ListenedContact, MAX_DELIVERY_BYTES, MAX_HANDLES, MAX_HOLD, SessionSecret},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

const ACCOUNT: &str = "05ffba630924aa1224bb930dde21c0d11bf004608f2812217f8ac812d6c7e3ad48";
const NOW: u64 = 1_616_650_862_026;

fn parse(method: &str, params: Value) -> Result<Request, RequestError> {
    Request::parse(json!({"method": method, "params": params}).to_string().as_bytes())
}

fn refusal(method: &str, params: Value) -> String {
    parse(method, params).expect_err("should be refused").to_string()
}

fn store(changes: Value) -> Value {
    let mut params = json!({"pubkey": ACCOUNT, "timestamp": NOW, "ttl": 86_400_000, "data": "aGk="});
    for (field, value) in changes.as_object().expect("an object") {
        match value {
            Value::String(text) if text == "(absent)" => drop(params.as_object_mut().unwrap().remove(field)),
            value => params[field] = value.clone(),
        }
    }
    params
}

fn arbitrary_auth() -> impl Strategy<Value = TimedAuth> {
    (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<Option<[u8; 32]>>(), MIN_TIMESTAMP..u64::MAX).prop_map(
        |(r, s, key, timestamp)| {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&r);
            signature[32..].copy_from_slice(&s);
            let token = SubaccountToken::new(5, Access::READ, &r);
            let subaccount = (timestamp % 2 == 0).then_some(Delegation { token, signature });
            TimedAuth { auth: OwnerAuth { signature, ed25519_key: key.map(HexKey), subaccount }, timestamp }
        },
    )
}

fn arbitrary_hashes() -> impl Strategy<Value = Vec<MessageHash>> {
    proptest::collection::vec(any::<[u8; 32]>().prop_map(MessageHash::from), 1..4)
}

fn arbitrary_action() -> impl Strategy<Value = Action> {
    let scope = || prop_oneof![any::<i16>().prop_map(|number| Scope::One(Namespace(number))), Just(Scope::All)];
    let time = || MIN_TIMESTAMP..u64::MAX;
    let mode = prop_oneof![Just(ExpiryMode::Set), Just(ExpiryMode::Extend), Just(ExpiryMode::Shorten)];
    let token = any::<[u8; 32]>().prop_map(|key| SubaccountToken::new(3, Access::WRITE, &key));
    let tokens = proptest::collection::vec(token, 0..3);
    prop_oneof![
        (arbitrary_hashes(), any::<bool>()).prop_map(|(messages, required)| Action::Delete { messages, required }),
        (scope(), time()).prop_map(|(scope, timestamp)| Action::DeleteAll { scope, timestamp }),
        (scope(), time()).prop_map(|(scope, before)| Action::DeleteBefore { scope, before }),
        (arbitrary_hashes(), time(), any::<bool>(), mode).prop_map(|(messages, expiry, each, mode)| {
            let expiry = vec![expiry; if each { messages.len() } else { 1 }];
            Action::Expire { messages, expiry, mode }
        }),
        (scope(), time()).prop_map(|(scope, expiry)| Action::ExpireAll { scope, expiry }),
        (tokens.clone(), time()).prop_map(|(tokens, timestamp)| Action::Revoke { tokens, timestamp }),
        (tokens, time()).prop_map(|(tokens, timestamp)| Action::Unrevoke { tokens, timestamp }),
    ]
}

prop_compose! {
    fn arbitrary_command()(key: [u8; 32], action in arbitrary_action(), auth in arbitrary_auth()) -> Command {
        let subaccount = match action {
            Action::Revoke { .. } | Action::Unrevoke { .. } => None,
            _ => auth.auth.subaccount,
        };
        Command { account: AccountAddress::from_x25519(key), action, auth: OwnerAuth { subaccount, ..auth.auth } }
    }
}

prop_compose! {
    fn arbitrary_expiries()(key: [u8; 32], messages in arbitrary_hashes(), auth in arbitrary_auth()) -> ExpiriesRequest {
        ExpiriesRequest { account: AccountAddress::from_x25519(key), messages, auth }
    }
}

prop_compose! {
    fn arbitrary_store()(
        key: [u8; 32],
        namespace: i16,
        timestamp in MIN_TIMESTAMP..u64::MAX,
        expiry in MIN_TIMESTAMP..u64::MAX,
        data in proptest::collection::vec(any::<u8>(), 0..300),
        auth in proptest::option::of(arbitrary_auth()),
        effort in proptest::option::of(any::<u32>()),
    ) -> StoreRequest {
        let account = AccountAddress::from_x25519(key);
        let work = effort.map(|effort| Work { effort, nonce: vec![7; 16].into(), ..Work::default() });
        StoreRequest { account, namespace: Namespace(namespace), timestamp, expiry, data, auth, work }
    }
}

prop_compose! {
    fn arbitrary_retrieve()(
        key: [u8; 32],
        namespace: i16,
        last_hash: Option<[u8; 32]>,
        max_count: Option<i64>,
        max_size: Option<i64>,
        auth in arbitrary_auth(),
    ) -> RetrieveRequest {
        let account = AccountAddress::from_x25519(key);
        let last_hash = last_hash.map(MessageHash::from);
        RetrieveRequest { account, namespace: Namespace(namespace), last_hash, max_count, max_size, auth: Some(auth) }
    }
}

fn arbitrary_listening() -> impl Strategy<Value = Method> {
    let contacts = proptest::collection::vec(any::<([u8; 32], [u8; 32])>(), 0..=MAX_HANDLES);
    let listen =
        (any::<[u8; 32]>(), contacts, any::<u64>(), 0..=MAX_HOLD).prop_map(|(session, contacts, ack, hold)| {
            let contact = |(handle, token)| ListenedContact { handle: Handle(handle), token: DeliveryToken(token) };
            let contacts = contacts.into_iter().map(contact).collect();
            Method::Listen(ListenRequest { session: SessionSecret(session), contacts, ack, hold })
        });
    let data = proptest::collection::vec(any::<u8>(), 1..300);
    let deliver = (any::<[u8; 32]>(), any::<[u8; 32]>(), data).prop_map(|(handle, token, data)| {
        Method::Deliver(DeliverRequest { handle: Handle(handle), token: DeliveryToken(token), data })
    });
    let unlisten =
        any::<[u8; 32]>().prop_map(|session| Method::Unlisten(UnlistenRequest { session: SessionSecret(session) }));
    prop_oneof![listen, deliver, unlisten]
}

fn arbitrary_method() -> impl Strategy<Value = Method> {
    prop_oneof![
        arbitrary_store().prop_map(Method::Store),
        arbitrary_retrieve().prop_map(Method::Retrieve),
        arbitrary_command().prop_map(Method::Command),
        arbitrary_expiries().prop_map(Method::Expiries),
        any::<[u8; 32]>().prop_map(|key| Method::GetSwarm(AccountAddress::from_x25519(key))),
        Just(Method::Info),
        arbitrary_listening(),
        (any::<bool>(), any::<Option<i64>>(), any::<[u8; 32]>()).prop_map(|(active_only, limit, key)| {
            Method::NodeList(NodeListQuery {
                fields: vec!["public_ip".into()],
                limit,
                active_only,
                nodes: vec![HexKey(key)],
                poll_block_hash: Some("ab".into()),
            })
        }),
    ]
}

proptest! {
    #[test]
    fn what_we_write_we_read(method in arbitrary_method()) {
        let request = Request::Single(method);
        let json = serde_json::to_vec(&request).unwrap();
        prop_assert_eq!(Request::parse(&json), Ok(request));
    }

    #[test]
    fn batches_too(methods in proptest::collection::vec(arbitrary_method(), 1..=MAX_BATCH)) {
        let sequence = Request::Sequence(methods.clone());
        let json = serde_json::to_vec(&sequence).unwrap();
        prop_assert_eq!(Request::parse(&json), Ok(sequence));
        let request = Request::Batch(methods);
        let json = serde_json::to_vec(&request).unwrap();
        prop_assert_eq!(Request::parse(&json), Ok(request));
    }

    #[test]
    fn branches_too(method in arbitrary_method(), bounds: [Option<i64>; 3], list: bool) {
        let [height_before, hf, v] = bounds;
        let condition = Condition {
            height_at_least: Some(3),
            height_before,
            hf_at_least: hf.map(|major| [major, 1]),
            v_before: v.map(|major| [major, 1, 2]),
            ..Condition::default()
        };
        let inner = if list { Request::Sequence(vec![method]) } else { Request::Single(method) };
        let nested = Request::IfElse(Box::new(IfElse { condition, then: Some(inner.clone()), otherwise: None }));
        let request = Request::IfElse(Box::new(IfElse { condition, then: Some(inner), otherwise: Some(nested) }));
        let json = serde_json::to_vec(&request).unwrap();
        prop_assert_eq!(Request::parse(&json), Ok(request));
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Request::parse(&body);
    }

    #[test]
    fn damaged_requests_are_read_or_refused(method in arbitrary_method(), at: prop::sample::Index, byte: u8) {
        let mut json = serde_json::to_vec(&method).unwrap();
        let at = at.index(json.len());
        json[at] = byte;
        let _ = Request::parse(&json);
    }

    #[test]
    fn a_window_is_never_empty_nor_above_the_limit(request in arbitrary_retrieve()) {
        let window = request.window();
        prop_assert!(window.count >= 1);
        prop_assert!(window.size <= MAX_RETRIEVE_BYTES);
    }
}

#[test]
fn a_real_clients_store_is_read() {
    let body = format!(
        r#"{{"jsonrpc":"2.0","method":"store","params":{{"pubKey":"{}","timestamp":"{NOW}","ttl":"1209600000","namespace":null,"data":"aGk"}}}}"#,
        ACCOUNT.to_uppercase()
    );
    let Ok(Request::Single(Method::Store(request))) = Request::parse(body.as_bytes()) else { panic!("should be read") };
    assert_eq!(request.account, ACCOUNT.parse().unwrap());
    assert_eq!((request.timestamp, request.expiry), (NOW, NOW + 1_209_600_000));
    assert_eq!(request.data, b"hi");
    assert_eq!((request.namespace, request.auth, request.work), (Namespace::DEFAULT, None, None));
}

#[test]
fn both_spellings_of_get_swarm() {
    let expected = Ok(Request::Single(Method::GetSwarm(ACCOUNT.parse().unwrap())));
    assert_eq!(parse("get_swarm", json!({"pubkey": ACCOUNT})), expected);
    assert_eq!(parse("get_snodes_for_pubkey", json!({"pubKey": ACCOUNT})), expected);
}

#[test]
fn envelopes_are_refused_in_the_known_words() {
    for (body, text) in [
        ("", "invalid json"),
        ("{", "invalid json"),
        ("[]", "invalid json: no `method` field"),
        ("{} x", "invalid json"),
        ("{}", "invalid json: no `method` field"),
        (r#"{"method": 5, "params": {}}"#, "invalid json: no `method` field"),
        (r#"{"method": null}"#, "invalid json: no `method` field"),
        (r#"{"method": "info"}"#, "invalid json: no `params` field"),
        (r#"{"method": "info", "params": []}"#, "invalid json: no `params` field"),
        (r#"{"method": "info", "params": null}"#, "invalid json: no `params` field"),
        (r#"{"method": "nonesuch", "params": {}}"#, "no method nonesuch"),
    ] {
        assert_eq!(Request::parse(body.as_bytes()).expect_err(body).to_string(), text, "{body}");
    }
    let long = "x".repeat(100_000);
    assert_eq!(refusal(&long, json!({})).len(), "no method ".len() + 64);
}

#[test]
fn a_bad_account_is_refused_in_the_words_of_its_method() {
    for (method, text) in [
        ("get_swarm", "Pubkey must be 66 hex digits/33 bytes long"),
        ("get_snodes_for_pubkey", "Pubkey must be 66 hex digits/33 bytes long"),
        ("retrieve", "Pubkey must be 66 hex digits (33 bytes) long"),
    ] {
        assert_eq!(refusal(method, json!({"pubkey": "05ff"})), format!("invalid request: {text}"), "{method}");
    }
}

#[test]
fn stores_are_refused_in_the_known_words() {
    let signature = "A".repeat(86);
    let not_base64 = "!".repeat(86);
    let too_long = "A".repeat(MAX_MESSAGE_BASE64 + 4);
    for (changes, text) in [
        (json!({"pubkey": "(absent)"}), "Required field 'pubkey' missing"),
        (json!({"pubKey": ACCOUNT}), "Cannot specify both 'pubkey' and 'pubKey'"),
        (json!({"pubkey": 5}), "Invalid value given for 'pubkey': expected string"),
        (json!({"pubkey": "05ff"}), "Pubkey must be 66 hex digits (33 bytes) long"),
        (json!({"timestamp": null}), "Required field 'timestamp' missing"),
        (json!({"timestamp": "soon"}), "Invalid value given for 'timestamp': \"soon\""),
        (json!({"timestamp": 1.5}), "Invalid value given for 'timestamp': expected integer"),
        (json!({"timestamp": 999_999_999}), "Invalid timestamp for 'timestamp': timestamp must be in milliseconds"),
        (json!({"ttl": "(absent)"}), "Required field 'expiry' or 'ttl' missing"),
        (json!({"ttl": -1}), "Invalid value given for 'ttl': expected positive integer"),
        (json!({"ttl": "a \"while\""}), "Invalid value given for 'ttl': \"a \\\"while\\\"\""),
        (json!({"expiry": NOW}), "Cannot specify both 'expiry' and 'ttl'"),
        (
            json!({"ttl": null, "expiry": "later"}),
            "Invalid value given for 'expiry': expected integer timestamp (in milliseconds)",
        ),
        (json!({"namespace": 40_000}), "Invalid value given for 'namespace': value out of range"),
        (json!({"namespace": "0"}), "Invalid value given for 'namespace': expected 16-bit integer"),
        (json!({"data": null}), "Required field 'data' missing"),
        (json!({"data": ["aGk="]}), "Invalid value given for 'data': expected string"),
        (json!({"data": "not base64"}), "Invalid 'data' value: not base64 encoded"),
        (json!({"data": too_long}), "Message body exceeds maximum allowed length of 76800 bytes"),
        (json!({"work": "?"}), "Invalid 'work' value: expected a proof of work in base64"),
        (json!({"work": "/w=="}), "Invalid 'work' value: expected a proof of work in base64"),
        (json!({"signature": "AAAA"}), "invalid signature: expected base64 encoded Ed25519 signature"),
        (json!({"signature": not_base64}), "invalid signature: expected base64 encoded Ed25519 signature"),
        (
            json!({"signature": signature, "pubkey_ed25519": "ab"}),
            "Invalid pubkey_ed25519: expected 64 hex char or 32 byte pubkey",
        ),
        (json!({"signature": signature, "pubkey_ed25519": "g".repeat(64)}), "invalid pubkey_ed25519: value is not hex"),
        (
            json!({"signature": signature, "pubkey_ed25519": "a".repeat(64), "pubkey": format!("03{}", &ACCOUNT[2..])}),
            "pubkey_ed25519 is only permitted for 05[...] pubkeys",
        ),
        (
            json!({"signature": signature, "subaccount": "AAAA"}),
            "invalid subaccount: subaccount_sig is required when using subaccount",
        ),
        (
            json!({"signature": signature, "subaccount": "AAAA", "subaccount_sig": signature}),
            "invalid subaccount: expected base64 or hex-encoded subaccount token",
        ),
        (
            json!({"signature": signature, "subaccount": "A".repeat(48), "subaccount_sig": "AAAA"}),
            "invalid subaccount signature: expected base64 encoded Ed25519 signature",
        ),
    ] {
        assert_eq!(refusal("store", store(changes.clone())), format!("invalid request: {text}"), "{changes}");
    }
}

#[test]
fn retrieves_are_refused_in_the_known_words() {
    let signature = "A".repeat(86);
    for (params, text) in [
        (json!({}), "Required field 'pubkey' missing"),
        (json!({"pubkey": ACCOUNT, "namespace": 1}), "Required field 'signature' missing"),
        (json!({"pubkey": ACCOUNT, "timestamp": NOW}), "Required field 'signature' missing"),
        (json!({"pubkey": ACCOUNT, "signature": signature}), "Required field 'timestamp' missing"),
        (json!({"pubkey": ACCOUNT, "last_hash": "short"}), "Invalid last_hash: expected base64 (43 chars)"),
        (json!({"pubkey": ACCOUNT, "lastHash": "!".repeat(43)}), "Invalid last_hash: not base64"),
        (json!({"pubkey": ACCOUNT, "last_hash": "", "lastHash": ""}), "Cannot specify both 'last_hash' and 'lastHash'"),
        (json!({"pubkey": ACCOUNT, "max_count": "5"}), "Invalid value given for 'max_count': expected integer"),
        (json!({"pubkey": ACCOUNT, "max_size": 1, "maxSize": 1}), "Cannot specify both 'max_size' and 'maxSize'"),
    ] {
        assert_eq!(refusal("retrieve", params.clone()), format!("invalid request: {text}"), "{params}");
    }
}

#[test]
fn commands_are_refused_in_the_known_words() {
    let hash = "A".repeat(43);
    let signed = |fields: Value| {
        let mut params = json!({"pubkey": ACCOUNT, "signature": "A".repeat(86)});
        params.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        params
    };
    for (method, fields, text) in [
        ("delete", json!({"pubkey": null}), "Required field 'pubkey' missing"),
        ("delete", json!({"signature": null}), "Required field 'signature' missing"),
        ("delete", json!({}), "Required field 'messages' missing"),
        ("delete", json!({"messages": []}), "messages does not contain any message hashes"),
        ("delete", json!({"messages": ["x"]}), "invalid message hash: x"),
        ("delete", json!({"messages": [5]}), "Invalid value given for 'messages': expected string array"),
        ("delete", json!({"messages": {}}), "Invalid value given for 'messages': expected string array"),
        ("delete", json!({"messages": hash, "required": 1}), "Invalid value given for 'required': expected boolean"),
        ("delete_all", json!({}), "Required field 'timestamp' missing"),
        (
            "delete_all",
            json!({"timestamp": NOW, "namespace": "some"}),
            "Invalid value given for 'namespace': expected integer or \"all\"",
        ),
        (
            "delete_all",
            json!({"timestamp": NOW, "namespace": 32_768}),
            "Invalid value given for 'namespace': value out of range",
        ),
        ("delete_before", json!({}), "Required field 'before' missing"),
        ("expire_all", json!({}), "Required field 'expiry' missing"),
        (
            "expire_all",
            json!({"expiry": [NOW]}),
            "Invalid value given for 'expiry': expected integer timestamp (in milliseconds)",
        ),
        ("expire", json!({"messages": hash}), "Required field 'expiry' missing"),
        ("expire", json!({"messages": hash, "expiry": []}), "'expiry' does not contain any expiration timestamps"),
        (
            "expire",
            json!({"messages": hash, "expiry": ["soon"]}),
            "Invalid value given for 'expiry': expected timestamp array",
        ),
        (
            "expire",
            json!({"messages": hash, "expiry": [NOW, NOW]}),
            "'expiry' must be a single expiry, or the same length as 'messages'",
        ),
        (
            "expire",
            json!({"messages": hash, "expiry": NOW, "shorten": true, "extend": true}),
            "cannot specify both 'shorten' and 'extend'",
        ),
        ("get_expiries", json!({"messages": hash}), "Required field 'timestamp' missing"),
        ("revoke_subaccount", json!({"timestamp": NOW}), "Required field 'revoke' missing"),
        (
            "revoke_subaccount",
            json!({"timestamp": NOW, "revoke": "x"}),
            "invalid revoke: expected base64 or hex-encoded subaccount tag",
        ),
        (
            "revoke_subaccount",
            json!({"timestamp": NOW, "revoke": vec!["A".repeat(48); 51]}),
            "invalid revoke: cannot revoke more than 50 subaccounts at once",
        ),
        ("unrevoke_subaccount", json!({"timestamp": NOW}), "Required field 'unrevoke' missing"),
        (
            "unrevoke_subaccount",
            json!({"timestamp": NOW, "unrevoke": vec!["A".repeat(48); 1_001]}),
            "invalid unrevoke: cannot unrevoke more than 1000 subaccounts at once",
        ),
    ] {
        let refused = refusal(method, signed(fields.clone()));
        assert_eq!(refused, format!("invalid request: {text}"), "{method} {fields}");
    }
    let many = vec![hash; MAX_LISTED_MESSAGES + 1];
    assert_eq!(
        refusal("delete", signed(json!({"messages": many}))),
        "invalid request: a list has more than 32000 entries: send several requests"
    );
}

#[test]
fn a_document_has_no_more_values_than_the_largest_honest_one() {
    let hashes = vec!["A".repeat(43); MAX_LISTED_MESSAGES];
    let params =
        json!({"pubkey": ACCOUNT, "signature": "A".repeat(86), "messages": hashes, "expiry": vec![NOW; hashes.len()]});
    assert!(matches!(parse("expire", params), Ok(Request::Single(Method::Command(_)))));
    let lists = |length: usize| {
        let list = vec![1; length];
        let info = json!({"method": "info", "params": {"messages": list, "expiry": list, "revoke": list}});
        parse("batch", json!({"requests": vec![info; MAX_BATCH]}))
    };
    assert!(matches!(lists(1_000), Ok(Request::Batch(_))));
    assert_eq!(lists(1_200), Err(RequestError::NotJson));
}

#[test]
fn more_revocations_than_are_remembered_may_be_taken_back() {
    let tokens = vec!["A".repeat(48); MAX_UNREVOKED];
    let params = json!({"pubkey": ACCOUNT, "signature": "A".repeat(86), "timestamp": NOW, "unrevoke": tokens});
    let Ok(Request::Single(Method::Command(command))) = parse("unrevoke_subaccount", params) else {
        panic!("should be read")
    };
    assert!(matches!(command.action, Action::Unrevoke { tokens, .. } if tokens.len() == MAX_UNREVOKED));
}

#[test]
fn one_may_stand_for_a_list() {
    let hash = MessageHash::from([0; 32]);
    let params = json!({"pubkey": ACCOUNT, "signature": "A".repeat(86), "messages": hash, "expiry": NOW});
    let Ok(Request::Single(Method::Command(command))) = parse("expire", params) else { panic!("should be read") };
    assert_eq!(command.action, Action::Expire { messages: vec![hash], expiry: vec![NOW], mode: ExpiryMode::Set });
}

#[test]
fn branches_are_refused_in_the_known_words() {
    let info = json!({"method": "info", "params": {}});
    for (params, text) in [
        (json!({"then": info}), "no valid \"if\" field"),
        (json!({"if": 5, "then": info}), "no valid \"if\" field"),
        (json!({"if": {}, "then": info}), "must specify at least one \"if\" condition"),
        (json!({"if": {"hf_before": []}, "then": info}), "must specify at least one \"if\" condition"),
        (json!({"if": {"hf_before": 5}}), "at least one of \"then\"/\"else\" required"),
        (json!({"if": {"hf_before": 5}, "then": 5}), "then must be an object"),
        (json!({"if": {"hf_before": 5}, "else": {"method": "info"}}), "else must have method/params keys"),
    ] {
        assert_eq!(refusal("ifelse", params.clone()), format!("invalid request: Invalid ifelse request: {text}"));
    }
    let unknown = json!({"if": {"hf_before": 5}, "then": {"method": "x", "params": {}}});
    assert_eq!(refusal("ifelse", unknown), "invalid request: Invalid ifelse request method \"then\"");
    let wrong = json!({"if": {"v_before": ["5"]}, "then": info});
    assert_eq!(refusal("ifelse", wrong), "invalid request: Invalid value given for 'v_before': expected integer array");
    let mut deep = info;
    for _ in 0..1_000 {
        deep = json!({"method": "ifelse", "params": {"if": {"height_before": 1}, "then": deep}});
    }
    assert_eq!(Request::parse(deep.to_string().as_bytes()), Err(RequestError::NotJson), "nesting is bounded");
}

#[test]
fn conditions_compare_versions_in_order() {
    let holds = |condition: Condition| condition.holds([19, 4], [2, 9, 0], 100);
    let none = Condition::default();
    assert!(
        holds(Condition { hf_at_least: Some([19, 0]), ..none })
            && !holds(Condition { hf_at_least: Some([19, 5]), ..none })
    );
    assert!(
        holds(Condition { hf_before: Some([20, 0]), ..none }) && !holds(Condition { hf_before: Some([19, 4]), ..none })
    );
    assert!(
        holds(Condition { v_at_least: Some([2, 8, 7]), ..none })
            && !holds(Condition { v_before: Some([2, 9, 0]), ..none })
    );
    assert!(holds(Condition { height_at_least: Some(100), height_before: Some(101), ..none }));
    assert!(!holds(Condition { height_at_least: Some(100), height_before: Some(100), ..none }));
}

#[test]
fn batches_are_refused_in_the_known_words() {
    let info = json!({"method": "info", "params": {}});
    let many = vec![info.clone(); MAX_BATCH + 1];
    for (requests, text) in [
        (Value::Null, "Invalid batch request: no valid \"requests\" field"),
        (json!([]), "Invalid batch request: no valid \"requests\" field"),
        (json!({}), "Invalid batch request: no valid \"requests\" field"),
        (json!(many), "Invalid batch request: subrequest limit exceeded"),
        (json!([5]), "Invalid batch request: requests must be objects"),
        (json!([{"method": "info"}]), "Invalid batch request: subrequests must have method/params keys"),
        (json!([{"method": "x", "params": {}}]), "Invalid batch subrequest: invalid method \"x\""),
        (
            json!([{"method": "batch", "params": {"requests": [info]}}]),
            "Invalid batch subrequest: subrequests may not contain meta-requests",
        ),
        (json!([info, {"method": "store", "params": {}}]), "Required field 'timestamp' missing"),
    ] {
        let refused = refusal("batch", json!({"requests": requests}));
        assert_eq!(refused, format!("invalid request: {text}"));
    }
}

#[test]
fn extensions_are_read_as_they_are_written() {
    let [hash, other] = [[1; 32], [2; 32]].map(MessageHash::from);
    let receipt = |messages: Value| parse("receipt", json!({"pubkey": ACCOUNT, "namespace": 10, "messages": messages}));
    let expected = ReceiptRequest { account: ACCOUNT.parse().unwrap(), namespace: Namespace(10), messages: vec![hash] };
    let expected = Request::Single(Method::Receipt(expected));
    assert_eq!(receipt(json!([hash])), Ok(expected.clone()));
    assert_eq!(receipt(json!(hash)), Ok(expected.clone()), "one needs no list");
    assert_eq!(Request::parse(&serde_json::to_vec(&expected).unwrap()), Ok(expected));
    let many = receipt(json!(vec![other; MAX_RECEIPTS + 1])).expect_err("too many").to_string();
    assert_eq!(many, "invalid request: messages has more than 20 entries: send several requests");
    assert_eq!(refusal("receipt", json!({"pubkey": ACCOUNT})), "invalid request: Required field 'messages' missing");

    let signature = "A".repeat(86);
    let signed = json!({"pubkey": ACCOUNT, "namespace": 5, "timestamp": NOW, "signature": signature});
    let read = parse("monitor", signed).unwrap();
    let Request::Single(Method::Monitor(request)) = &read else { panic!("{read:?}") };
    assert_eq!((request.namespace, request.auth.as_ref().map(|auth| auth.timestamp)), (Namespace(5), Some(NOW)));
    assert_eq!(Request::parse(&serde_json::to_vec(&read).unwrap()), Ok(read));
    let open = parse("monitor", json!({"pubkey": ACCOUNT, "namespace": -10})).unwrap();
    assert!(matches!(open, Request::Single(Method::Monitor(MonitorRequest { auth: None, .. }))));
    let missing = refusal("monitor", json!({"pubkey": ACCOUNT, "namespace": 5}));
    assert_eq!(missing, "invalid request: Required field 'signature' missing");
}

#[test]
fn chain_requests_are_limited_to_the_node_list_and_names() {
    assert_eq!(refusal("oxend_request", json!({})), "invalid request: Required field 'endpoint' missing");
    let refused = refusal("oxend_request", json!({"endpoint": "get_block", "params": {}}));
    assert_eq!(refused, "invalid request: Invalid oxend endpoint 'get_block'");

    let name = json!({"endpoint": "ons_resolve", "params": {"type": 0, "name_hash": "x"}});
    assert_eq!(parse("oxend_request", name), Ok(Request::Single(Method::ResolveName)));

    let fields = json!({"public_ip": true, "pubkey_ed25519": true, "height": false});
    let query = parse("oxend_request", json!({"endpoint": "get_service_nodes", "params": {"fields": fields}}));
    let Ok(Request::Single(Method::NodeList(query))) = query else { panic!("should be read") };
    assert_eq!(query.fields.len(), 2);

    let all = parse("oxend_request", json!({"endpoint": "get_service_nodes", "params": {"fields": ["all"]}}));
    assert_eq!(all, Ok(Request::Single(Method::NodeList(NodeListQuery::default()))));
}

#[test]
fn windows_follow_the_table() {
    let window = |max_count: Option<i64>, max_size: Option<i64>| {
        let account = ACCOUNT.parse().unwrap();
        let namespace = Namespace::DEFAULT;
        RetrieveRequest { account, namespace, last_hash: None, max_count, max_size, auth: None }.window()
    };
    let whole = MAX_RETRIEVE_BYTES;
    assert_eq!(window(None, None), RetrieveWindow { count: usize::MAX, size: whole / 5 });
    assert_eq!(window(Some(0), Some(0)), RetrieveWindow { count: usize::MAX, size: whole / 5 });
    assert_eq!(window(Some(3), None), RetrieveWindow { count: 3, size: whole });
    assert_eq!(window(None, Some(-1)), RetrieveWindow { count: usize::MAX, size: whole });
    assert_eq!(window(None, Some(-4)), RetrieveWindow { count: usize::MAX, size: whole / 4 });
    assert_eq!(window(Some(-9), Some(i64::MAX)), RetrieveWindow { count: 1, size: whole });
    assert_eq!(window(None, Some(i64::MIN)).size, 0);
}

#[test]
fn listening_requests_in_the_form_that_is_documented() {
    let (a, b) = ("ab".repeat(32), "CD".repeat(32));
    let listen = json!({"session": a, "contacts": [format!("{a}{b}")], "ack": 3, "hold": 99_000_000});
    let contact = ListenedContact { handle: Handle([0xab; 32]), token: DeliveryToken([0xcd; 32]) };
    let session = SessionSecret([0xab; 32]);
    let expected = ListenRequest { session, contacts: vec![contact], ack: 3, hold: MAX_HOLD };
    assert_eq!(parse("listen", listen), Ok(Request::Single(Method::Listen(expected))));
    let bare = ListenRequest { session, contacts: vec![], ack: 0, hold: 0 };
    assert_eq!(parse("listen", json!({"session": a})), Ok(Request::Single(Method::Listen(bare))));

    let refused = |text: &str| format!("invalid request: {text}");
    assert_eq!(refusal("listen", json!({})), refused("Required field 'session' missing"));
    assert_eq!(refusal("unlisten", json!({"session": "ab"})), refused("invalid session: expected 64 hex digits"));
    assert_eq!(
        refusal("listen", json!({"session": a, "contacts": [a]})),
        refused("invalid contacts: expected 128 hex digits each, handle and token")
    );
    assert_eq!(
        refusal("listen", json!({"session": a, "contacts": vec![format!("{a}{b}"); MAX_HANDLES + 1]})),
        refused("invalid contacts: a session listens under at most 32 handles")
    );
    assert_eq!(
        refusal("listen", json!({"session": a, "hold": -1})),
        refused("Invalid value given for 'hold': expected positive integer")
    );
    let deliver = |data: String| json!({"handle": a, "token": b, "data": data});
    let size = refused("invalid data: expected 1 to 16384 bytes");
    assert_eq!(refusal("deliver", deliver(String::new())), size);
    assert_eq!(refusal("deliver", deliver("A".repeat(21_848))), size, "a byte or two too many");
    assert_eq!(refusal("deliver", deliver("A".repeat(30_000))), size);
    assert_eq!(refusal("deliver", json!({"handle": a, "token": b})), refused("Required field 'data' missing"));
    let largest = parse("deliver", deliver(format!("{}AA==", "A".repeat(21_844))));
    let Ok(Request::Single(Method::Deliver(DeliverRequest { data, .. }))) = largest else { panic!("{largest:?}") };
    assert_eq!(data.len(), MAX_DELIVERY_BYTES);
}
