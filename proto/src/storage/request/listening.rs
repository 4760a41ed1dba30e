//! Requests of listening sessions (see [`listening`](crate::storage::listening)).

use super::{
    ParamsError,
    fields::{text, texts},
};
use crate::storage::{
    encoding,
    listening::{DeliveryToken, Handle, ListenedContact, MAX_DELIVERY_BYTES, MAX_HANDLES, MAX_HOLD, SessionSecret},
    loose::{LooseParams, Scalar},
};
use base64::Engine;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::str::FromStr;

/// Wait for messages: opens or renews a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenRequest {
    /// The session.
    pub session: SessionSecret,
    /// Every handle of the session, at most [`MAX_HANDLES`]; others it had are dead.
    pub contacts: Vec<ListenedContact>,
    /// All messages up to this number have been received.
    pub ack: u64,
    /// How long to wait for messages if there are none (ms), at most [`MAX_HOLD`].
    pub hold: u64,
}

/// Hand a message to whoever listens under a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverRequest {
    /// Where to.
    pub handle: Handle,
    /// By what right.
    pub token: DeliveryToken,
    /// The message: 1 to [`MAX_DELIVERY_BYTES`] bytes.
    pub data: Vec<u8>,
}

/// End a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnlistenRequest {
    /// Which.
    pub session: SessionSecret,
}

impl ListenRequest {
    pub(super) fn from_params<R>(params: &LooseParams<'_, R>) -> Result<Self, ParamsError> {
        let session = secret("session", &params.session)?;
        let contacts = texts("contacts", &params.contacts)?.unwrap_or_default();
        if contacts.len() > MAX_HANDLES {
            return Err(ParamsError::TooManyHandles);
        }
        let contact = |text: &&str| text.parse().map_err(|_| ParamsError::ListenedContact);
        let contacts = contacts.iter().map(contact).collect::<Result<_, _>>()?;
        let ack = number("ack", &params.ack)?;
        let hold = number("hold", &params.hold)?.min(MAX_HOLD);
        Ok(Self { session, contacts, ack, hold })
    }
}

impl DeliverRequest {
    pub(super) fn from_params<R>(params: &LooseParams<'_, R>) -> Result<Self, ParamsError> {
        const LONGEST: usize = MAX_DELIVERY_BYTES.div_ceil(3) * 4;
        let handle = secret("handle", &params.handle)?;
        let token = secret("token", &params.token)?;
        let data = text("data", &params.data)?.ok_or(ParamsError::Missing("data"))?;
        if data.len() > LONGEST {
            return Err(ParamsError::DeliverySize);
        }
        let data = encoding::decode_base64(data).ok_or(ParamsError::Data)?;
        if data.is_empty() || data.len() > MAX_DELIVERY_BYTES {
            return Err(ParamsError::DeliverySize);
        }
        Ok(Self { handle, token, data })
    }
}

impl UnlistenRequest {
    pub(super) fn from_params<R>(params: &LooseParams<'_, R>) -> Result<Self, ParamsError> {
        Ok(Self { session: secret("session", &params.session)? })
    }
}

fn secret<T: FromStr>(field: &'static str, value: &Scalar<'_>) -> Result<T, ParamsError> {
    let text = text(field, value)?.ok_or(ParamsError::Missing(field))?;
    text.parse().map_err(|_| ParamsError::Secret(field))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused alike")]
fn number(field: &'static str, value: &Scalar<'_>) -> Result<u64, ParamsError> {
    match value {
        Scalar::Absent => Ok(0),
        Scalar::Unsigned(number) => Ok(*number),
        _ => Err(ParamsError::Type { field, expected: "positive integer" }),
    }
}

impl Serialize for ListenRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("session", &self.session)?;
        map.serialize_entry("contacts", &self.contacts)?;
        map.serialize_entry("ack", &self.ack)?;
        map.serialize_entry("hold", &self.hold)?;
        map.end()
    }
}

impl Serialize for DeliverRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("handle", &self.handle)?;
        map.serialize_entry("token", &self.token)?;
        map.serialize_entry("data", &encoding::PADDED.encode(&self.data))?;
        map.end()
    }
}
