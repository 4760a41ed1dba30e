//! What a store keeps.

use crate::{ItemName, Standing, deposits::pays_until};
use skep_proto::{
    account::{AccountAddress, ParseAccountError},
    peer,
    storage::{
        Delegation, HexKey, MessageHash, Namespace, OwnerAuth, StoreRequest, SubaccountToken, TimedAuth,
        limits::MAX_MESSAGE_BYTES,
    },
};

/// A message with its hash and with what admitted it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    hash: MessageHash,
    deposit: StoreRequest,
    is_replica: bool,
}

/// Another node's record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRecordError {
    /// No account.
    #[error("the record's account is malformed")]
    Account(#[source] ParseAccountError),
    /// Not a 16-bit namespace.
    #[error("the record's namespace {0} is out of range")]
    Namespace(i32),
    /// Too long.
    #[error("the record has {0} bytes of data, more than {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    /// Signature or key of the wrong length.
    #[error("the record's owner signature is malformed")]
    Signature,
}

impl Record {
    /// A record of `deposit`, without judging it (see [`admit`](crate::admit)).
    pub fn new(deposit: StoreRequest) -> Self {
        let hash = MessageHash::of(&deposit.account, deposit.namespace, &deposit.data);
        Self { hash, deposit, is_replica: false }
    }

    /// The same record, handed over by a member that has kept it: what arrives here last need not be what is newest.
    #[must_use]
    pub fn handed_over(self) -> Self {
        Self { is_replica: true, ..self }
    }

    /// Whether a member that has kept it hands it over.
    pub const fn is_replica(&self) -> bool {
        self.is_replica
    }

    /// Its name among members.
    pub fn name(&self) -> ItemName {
        let StoreRequest { account, namespace, timestamp, expiry, .. } = &self.deposit;
        ItemName::message(account, *namespace, &self.hash, (*timestamp, *expiry), self.standing())
    }

    /// Whether it was paid for. That what it carries verifies is for [`admit`](crate::admit) and
    /// [`admit_replica`](crate::admit_replica) to say.
    pub const fn standing(&self) -> Standing {
        if self.deposit.work.is_some() || !self.deposit.namespace.anyone_may_store() {
            Standing::Proven
        } else {
            Standing::Unproven
        }
    }

    /// The message's hash.
    pub const fn hash(&self) -> MessageHash {
        self.hash
    }

    /// The deposit as it was made.
    pub const fn deposit(&self) -> &StoreRequest {
        &self.deposit
    }

    /// The same message deposited at `timestamp` until `expiry` (ms) with the work of this one, if that pays for it.
    pub(crate) fn lend(&self, timestamp: u64, expiry: u64) -> Option<Self> {
        let pays = |work| timestamp <= pays_until(work, self.deposit.namespace);
        let pays = self.deposit.work.as_ref().is_some_and(pays);
        pays.then(|| Self { deposit: StoreRequest { timestamp, expiry, ..self.deposit.clone() }, ..*self })
    }

    /// The form it travels to other members in, and is kept on disk in.
    pub fn to_wire(&self) -> peer::Store {
        let StoreRequest { account, namespace, timestamp, expiry, data, auth, work } = &self.deposit;
        peer::Store {
            account: account.as_bytes().to_vec().into(),
            namespace: namespace.0.into(),
            timestamp: *timestamp,
            expiry: *expiry,
            data: data.clone().into(),
            work: work.clone(),
            owner: auth.as_ref().map(write_owner),
        }
    }

    /// Reads the wire form. Its hash is computed anew: nobody is believed about it.
    pub fn from_wire(wire: peer::Store) -> Result<Self, ReadRecordError> {
        if wire.data.len() > MAX_MESSAGE_BYTES {
            return Err(ReadRecordError::TooLong(wire.data.len()));
        }
        let namespace = i16::try_from(wire.namespace).map_err(|_| ReadRecordError::Namespace(wire.namespace))?;
        Ok(Self::new(StoreRequest {
            account: AccountAddress::from_slice(&wire.account).map_err(ReadRecordError::Account)?,
            namespace: Namespace(namespace),
            timestamp: wire.timestamp,
            expiry: wire.expiry,
            data: wire.data.into(),
            auth: wire.owner.map(read_owner).transpose()?,
            work: wire.work,
        }))
    }
}

fn write_owner(TimedAuth { auth, timestamp }: &TimedAuth) -> peer::OwnerSignature {
    let (token, delegation) = match &auth.subaccount {
        Some(Delegation { token, signature }) => (token.as_bytes().to_vec(), signature.to_vec()),
        None => Default::default(),
    };
    peer::OwnerSignature {
        signature: auth.signature.to_vec().into(),
        ed25519_key: auth.ed25519_key.map(|key| key.0.to_vec()).unwrap_or_default().into(),
        timestamp: *timestamp,
        subaccount_token: token.into(),
        subaccount_signature: delegation.into(),
    }
}

fn read_owner(wire: peer::OwnerSignature) -> Result<TimedAuth, ReadRecordError> {
    let ed25519_key = match wire.ed25519_key.as_ref() {
        [] => None,
        key => Some(HexKey(key.try_into().map_err(|_| ReadRecordError::Signature)?)),
    };
    let subaccount = match (wire.subaccount_token.as_ref(), wire.subaccount_signature.as_ref()) {
        ([], []) => None,
        (token, signature) => {
            let token = <[u8; SubaccountToken::LEN]>::try_from(token).map_err(|_| ReadRecordError::Signature)?;
            let signature = signature.try_into().map_err(|_| ReadRecordError::Signature)?;
            Some(Delegation { token: token.into(), signature })
        }
    };
    let signature = wire.signature.as_ref().try_into().map_err(|_| ReadRecordError::Signature)?;
    Ok(TimedAuth { auth: OwnerAuth { signature, ed25519_key, subaccount }, timestamp: wire.timestamp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_proto::storage::Access;

    proptest! {
        #[test]
        fn records_survive_the_wire(
            key: [u8; 32],
            namespace: i16,
            times: (u64, u64, u64),
            data in proptest::collection::vec(any::<u8>(), 0..200),
            owner: Option<([u8; 32], Option<[u8; 32]>)>,
            effort: Option<u32>,
        ) {
            let auth = owner.map(|(half, key)| {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&half);
                let token = SubaccountToken::new(5, Access::WRITE, &half);
                let subaccount = key.is_none().then_some(Delegation { token, signature });
                TimedAuth { auth: OwnerAuth { signature, ed25519_key: key.map(HexKey), subaccount }, timestamp: times.2 }
            });
            let record = Record::new(StoreRequest {
                account: AccountAddress::from_x25519(key),
                namespace: Namespace(namespace),
                timestamp: times.0,
                expiry: times.1,
                data,
                auth,
                work: effort.map(|effort| peer::Work { effort, ..peer::Work::default() }),
            });
            prop_assert_eq!(Record::from_wire(record.to_wire()), Ok(record));
        }
    }

    #[test]
    fn malformed_records_are_named() {
        let good = Record::new(StoreRequest {
            account: AccountAddress::from_x25519([1; 32]),
            namespace: Namespace::DEFAULT,
            timestamp: 1,
            expiry: 2,
            data: vec![],
            auth: Some(TimedAuth {
                auth: OwnerAuth { signature: [0; 64], ed25519_key: None, subaccount: None },
                timestamp: 3,
            }),
            work: None,
        })
        .to_wire();
        let refused = |change: fn(&mut peer::Store)| {
            let mut wire = good.clone();
            change(&mut wire);
            Record::from_wire(wire).expect_err("should be refused")
        };
        assert!(matches!(refused(|wire| wire.account = vec![5; 32].into()), ReadRecordError::Account(_)));
        assert_eq!(refused(|wire| wire.namespace = 32_768), ReadRecordError::Namespace(32_768));
        let too_long = MAX_MESSAGE_BYTES + 1;
        assert_eq!(
            refused(|wire| wire.data = vec![0; MAX_MESSAGE_BYTES + 1].into()),
            ReadRecordError::TooLong(too_long)
        );
        assert_eq!(
            refused(|wire| wire.owner.as_mut().unwrap().signature = vec![0; 63].into()),
            ReadRecordError::Signature
        );
        assert_eq!(
            refused(|wire| wire.owner.as_mut().unwrap().subaccount_token = vec![0; 36].into()),
            ReadRecordError::Signature
        );
        assert_eq!(
            refused(|wire| wire.owner.as_mut().unwrap().ed25519_key = vec![0; 31].into()),
            ReadRecordError::Signature
        );
    }
}
