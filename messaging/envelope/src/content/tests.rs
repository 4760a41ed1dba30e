use super::*;
use proptest::prelude::*;

pub(crate) fn text(text: &str) -> Content {
    let id = MessageId([text.len() as u8; 16]);
    Content { id, timestamp: 1_790_000_000_000, sync: None, body: Some(Body::Text(text.to_owned().into())) }
}

pub(crate) fn accounts() -> [AccountAddress; 2] {
    [[1; 32], [2; 32]].map(AccountAddress::from_x25519)
}

fn encode(content: &Content) -> Vec<u8> {
    let [sender, recipient] = accounts();
    content.encode(&sender, &recipient)
}

fn decode(bytes: &[u8]) -> Result<Content, ContentError> {
    let [sender, recipient] = accounts();
    Content::decode(bytes, &sender, &recipient)
}

fn bundle() -> impl Strategy<Value = PrekeyBundle> {
    any::<[[u8; 32]; 3]>().prop_map(|[identity_key, one_time_key, fallback_key]| PrekeyBundle {
        identity_key,
        one_time_key,
        fallback_key,
    })
}

pub(crate) fn name() -> impl Strategy<Value = DisplayName> {
    "[^\\s\\p{Cc}][^\\p{Cc}]{0,20}[^\\s\\p{Cc}]".prop_map(|name| name.parse().unwrap())
}

fn body() -> impl Strategy<Value = Body> {
    let kind = prop_oneof![Just(ReceiptKind::Delivered), Just(ReceiptKind::Read)];
    prop_oneof![
        (any::<String>(), any::<Option<[u8; 16]>>(), any::<u32>()).prop_map(|(text, reply_to, disappear_after)| {
            Body::Text(Text { text, reply_to: reply_to.map(MessageId), disappear_after })
        }),
        proptest::collection::vec(any::<[u8; 16]>().prop_map(MessageId), 0..4).prop_map(Body::Unsend),
        any::<u32>().prop_map(Body::Timer),
        (kind, prop::collection::vec(any::<[u8; 16]>().prop_map(MessageId), 0..5))
            .prop_map(|(kind, ids)| Body::Receipt(kind, ids)),
        any::<bool>().prop_map(Body::Typing),
        (name(), bundle()).prop_map(|(display_name, prekeys)| Body::FriendAccept { display_name, prekeys }),
        name().prop_map(Body::Profile),
        bundle().prop_map(Body::Prekeys),
        bundle().prop_map(Body::SessionReset),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let listening = any::<[[u8; 32]; 3]>().prop_map(|[node, handle, token]| Listening { node, handle, token });
    let sync = (any::<[u64; 2]>(), prop::option::of(listening)).prop_map(|([stamp, heard], listening)| Sync {
        stamp,
        heard,
        listening,
    });
    let id = any::<[u8; 16]>().prop_map(MessageId);
    (id, any::<u64>(), prop::option::of(sync), prop::option::of(body()))
        .prop_map(|(id, timestamp, sync, body)| Content { id, timestamp, sync, body })
}

proptest! {
    #[test]
    fn bodies_are_kept(body in body()) {
        prop_assert_eq!(Body::decode(&body.encode()), Ok(body));
    }

    #[test]
    fn contents_are_read_back(content in content()) {
        prop_assert_eq!(decode(&encode(&content)), Ok(content));
    }

    #[test]
    fn strangers_bytes_never_panic(mut bytes: Vec<u8>, content in content(), at: prop::sample::Index, byte: u8) {
        let _ = decode(&bytes);
        bytes = encode(&content);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes);
        let _ = decode(&bytes[..at]);
    }

    #[test]
    fn names_show_as_written(text: String) {
        if let Ok(name) = text.parse::<DisplayName>() {
            prop_assert_eq!(name.as_str(), text.trim());
            prop_assert!(!name.as_str().is_empty() && name.as_str().len() <= DisplayName::MAX_LEN);
            prop_assert!(!name.as_str().contains(char::is_control));
        }
    }
}

/// Pins the wire format: messages are written by one version and read by another.
#[test]
fn pinned_encoding() {
    let [sender, recipient] = ["01", "02"].map(|byte| format!("2105{}", byte.repeat(32)));
    let expected = format!("0a10{}1080d8c1a28c3422{sender}2a{recipient}52040a026869", "02".repeat(16));
    assert_eq!(hex::encode(encode(&text("hi"))), expected);
}

#[test]
fn what_a_later_version_says_is_not_an_error() {
    let mut later = encode(&Content { body: None, ..text("hi") });
    // Field 30, a string: no body of this version.
    later.extend([0xf2, 0x01, 0x02, b'h', b'i']);
    assert_eq!(decode(&later), Ok(Content { body: None, ..text("hi") }));
}

#[test]
fn incomplete_contents_are_refused() {
    assert_eq!(decode(&[]), Err(ContentError::Misdirected));
    let nameless = encode(&text("hi")).split_off(18);
    assert_eq!(decode(&nameless), Err(ContentError::Length { field: "id", expected: 16, actual: 0 }));
    let accept = wire::FriendAccept { display_name: "Bee".into(), prekeys: None };
    let content = |body| {
        let mut content = wire::Content::decode(encode(&text("")).as_slice()).unwrap();
        content.body = Some(body);
        content.encode_to_vec()
    };
    let without_prekeys = content(wire::content::Body::FriendAccept(accept));
    assert_eq!(decode(&without_prekeys), Err(ContentError::Missing("friend_accept.prekeys")));
    let nameless = content(wire::content::Body::Profile(wire::Profile { display_name: " ".into() }));
    assert_eq!(decode(&nameless), Err(DisplayNameError::Empty.into()));
}

#[test]
fn who_is_online_tells_where() {
    let listening = Some(Listening { node: [1; 32], handle: [2; 32], token: [3; 32] });
    let told = Content { sync: Some(Sync { stamp: 5, heard: 4, listening }), body: None, ..text("") };
    let mut wire = wire::Content::decode(encode(&told).as_slice()).unwrap();
    assert_eq!(decode(&wire.encode_to_vec()), Ok(told));
    if let Some(sync) = &mut wire.sync {
        sync.token.truncate(31);
    }
    let broken = decode(&wire.encode_to_vec());
    assert_eq!(broken, Err(ContentError::Length { field: "sync.token", expected: 32, actual: 31 }));
    // Who is not online tells nothing of use.
    if let Some(sync) = &mut wire.sync {
        sync.online = false;
    }
    let offline = decode(&wire.encode_to_vec()).unwrap().sync;
    assert_eq!(offline, Some(Sync { stamp: 5, heard: 4, listening: None }));
}

#[test]
fn who_wrote_to_whom_is_part_of_the_content() {
    let [sender, recipient] = accounts();
    let bytes = encode(&text("hi"));
    let other = AccountAddress::from_x25519([3; 32]);
    for (from, to) in [(other, recipient), (sender, other), (recipient, sender)] {
        assert_eq!(Content::decode(&bytes, &from, &to), Err(ContentError::Misdirected));
    }
}

#[test]
fn names_have_rules() {
    assert_eq!(" Ada ".parse::<DisplayName>().unwrap().to_string(), "Ada");
    assert_eq!("\t ".parse::<DisplayName>(), Err(DisplayNameError::Empty));
    assert_eq!("a\u{1b}[2J".parse::<DisplayName>(), Err(DisplayNameError::Control));
    assert_eq!("é".repeat(51).parse::<DisplayName>(), Err(DisplayNameError::TooLong(102)));
    assert!("é".repeat(50).parse::<DisplayName>().is_ok());
}

#[test]
fn only_typing_notices_are_short_lived() {
    assert_eq!(text("hi").ttl(), 14 * 24 * 3600 * 1000);
    assert_eq!(Content { body: Some(Body::Typing(true)), ..text("hi") }.ttl(), 20_000);
}
