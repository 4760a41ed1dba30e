//! What Skep's messaging parts say to each other: wire types, signed strings, limits, pinned vectors.

pub mod account;
pub mod certificate;
pub mod storage;

/// What service nodes say to each other over QUIC.
pub mod peer {
    #![allow(
        missing_docs,
        clippy::large_enum_variant,
        reason = "generated; proto/peer.proto carries the documentation"
    )]
    include!(concat!(env!("OUT_DIR"), "/skep.peer.v1.rs"));
}

/// What two clients say to each other, end to end.
pub mod message {
    #![allow(missing_docs, reason = "generated; proto/message.proto carries the documentation")]
    include!(concat!(env!("OUT_DIR"), "/skep.message.v1.rs"));
}
