//! Showing a message without sending it.

use blake2::{Blake2b, Digest, digest::consts::U32};
use skep_mailbox::{ItemName, Record};
use skep_proto::peer;
use skep_reachability::Report;

/// Separates this from every other use of the hash.
const LABEL: &[u8] = b"skep audit v1";
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 32;

/// What shows that somebody has this message at hand: nobody can tell it before the nonce is known.
pub fn proof(nonce: &[u8; NONCE_LEN], name: &ItemName, record: &Record) -> [u8; 32] {
    let mut hasher = Blake2b::<U32>::new();
    hasher.update(LABEL);
    hasher.update(nonce);
    hasher.update(name.to_bytes());
    hasher.update(&record.deposit().data);
    hasher.finalize().into()
}

/// Another member's audit: which message, and the nonce. None if it cannot be read.
pub fn read_audit(wire: &peer::Audit) -> Option<(ItemName, [u8; NONCE_LEN])> {
    let name: [u8; ItemName::LEN] = wire.name.as_ref().try_into().ok()?;
    Some((name.into(), wire.nonce.as_ref().try_into().ok()?))
}

/// The number of a report on the wire.
pub const fn write_report(report: Report) -> u32 {
    match report {
        Report::Unknown => 0,
        Report::Passing => 1,
        Report::Failing => 2,
    }
}

/// A report of that number; what later versions say counts for nothing.
pub const fn read_report(number: u32) -> Report {
    match number {
        1 => Report::Passing,
        2 => Report::Failing,
        _ => Report::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::{
        account::AccountAddress,
        storage::{Namespace, StoreRequest},
    };

    fn record(data: &[u8]) -> Record {
        Record::new(StoreRequest {
            account: AccountAddress::from_x25519([1; 32]),
            namespace: Namespace::DEFAULT,
            timestamp: 1,
            expiry: 2,
            data: data.to_vec(),
            auth: None,
            work: None,
        })
    }

    #[test]
    fn a_proof_is_for_one_nonce_one_name_and_one_message() {
        let (name, other) = (ItemName::FIRST, ItemName::END);
        let one = proof(&[1; 32], &name, &record(b"text"));
        assert_eq!(one, proof(&[1; 32], &name, &record(b"text")));
        assert_ne!(one, proof(&[2; 32], &name, &record(b"text")));
        assert_ne!(one, proof(&[1; 32], &other, &record(b"text")));
        assert_ne!(one, proof(&[1; 32], &name, &record(b"texts")));
    }

    #[test]
    fn malformed_audits_are_refused() {
        let wire = |name, nonce| peer::Audit { name: vec![0; name].into(), nonce: vec![0; nonce].into() };
        assert!(read_audit(&wire(40, 32)).is_some());
        for (name, nonce) in [(39, 32), (41, 32), (40, 31), (40, 33), (0, 0)] {
            assert!(read_audit(&wire(name, nonce)).is_none());
        }
        for report in [Report::Unknown, Report::Passing, Report::Failing] {
            assert_eq!(read_report(write_report(report)), report);
        }
        assert_eq!(read_report(7), Report::Unknown);
    }
}
