//! The control part of a layer: one JSON object, whose fields are looked up one by one, since which of them matter depends on
//! which are present.

use crate::{
    cipher::EncType,
    frame::{FrameError, Handshake, MAX_CONTROL_BYTES, MAX_HOP_NO},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt};

/// Fields that mean something to a node; any other is passed over without being kept.
const FIELDS: [&str; 11] = [
    "destination",
    "ephemeral_key",
    "enc_type",
    "hop_no",
    "headers",
    "json",
    "base64",
    "host",
    "target",
    "port",
    "protocol",
];

/// The fields of a control part, in their order. Of two with one name the last counts, as in existing nodes.
#[derive(Debug)]
pub(crate) struct Control<'a>(Vec<(&'static str, Value<'a>)>);

/// A field's value, as far as control fields go.
#[derive(Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Flag(bool),
    Natural(u64),
    Negative,
    /// Null, a fraction, a list, an object.
    Other,
}

impl<'a> Control<'a> {
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, FrameError> {
        if json.len() > MAX_CONTROL_BYTES {
            return Err(FrameError::ControlTooLarge(json.len()));
        }
        serde_json::from_slice(json).map_err(|_| FrameError::NotJson)
    }

    fn get(&self, field: &str) -> Option<&Value<'a>> {
        self.0.iter().rev().find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    /// Present with any value, null included.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    pub(crate) fn text(&self, field: &'static str) -> Result<&str, FrameError> {
        match self.get(field) {
            Some(Value::Text(text)) => Ok(text),
            Some(Value::Flag(_) | Value::Natural(_) | Value::Negative | Value::Other) | None => {
                Err(FrameError::Field { field, expected: "a string" })
            }
        }
    }

    pub(crate) fn flag(&self, field: &'static str, absent: bool) -> Result<bool, FrameError> {
        match self.get(field) {
            None => Ok(absent),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(Value::Text(_) | Value::Natural(_) | Value::Negative | Value::Other) => {
                Err(FrameError::Field { field, expected: "true or false" })
            }
        }
    }

    pub(crate) fn port(&self, absent: u16) -> Result<u16, FrameError> {
        let port = match self.get("port") {
            None => Some(absent),
            Some(Value::Natural(port)) => u16::try_from(*port).ok(),
            Some(Value::Text(_) | Value::Flag(_) | Value::Negative | Value::Other) => None,
        };
        port.ok_or(FrameError::Field { field: "port", expected: "a number from 0 to 65535" })
    }

    pub(crate) fn key(&self, field: &'static str) -> Result<[u8; 32], FrameError> {
        const EXPECTED: &str = "a key of 64 hexadecimal digits";
        let mut key = [0; 32];
        let text = self.text(field).map_err(|_| FrameError::Field { field, expected: EXPECTED })?;
        hex::decode_to_slice(text, &mut key).map_err(|_| FrameError::Field { field, expected: EXPECTED })?;
        Ok(key)
    }

    pub(crate) fn handshake(&self) -> Result<Handshake, FrameError> {
        Ok(Handshake { ephemeral_key: self.key("ephemeral_key")?, enc_type: self.enc_type()? })
    }

    fn enc_type(&self) -> Result<EncType, FrameError> {
        const FIELD: &str = "enc_type";
        if !self.has(FIELD) {
            return Ok(EncType::default());
        }
        self.text(FIELD)?.parse().map_err(|_| FrameError::Field { field: FIELD, expected: "aes-gcm or xchacha20" })
    }

    pub(crate) fn hop_no(&self) -> Result<u8, FrameError> {
        match self.get("hop_no") {
            Some(Value::Natural(number)) => {
                u8::try_from(*number).ok().filter(|number| *number <= MAX_HOP_NO).ok_or(FrameError::PathTooLong)
            }
            // Existing nodes take a negative number for zero.
            None | Some(Value::Negative) => Ok(0),
            Some(Value::Text(_) | Value::Flag(_) | Value::Other) => {
                Err(FrameError::Field { field: "hop_no", expected: "a whole number" })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Control<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Control<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(4);
        while let Some(name) = map.next_key_seed(Name)? {
            match name {
                Some(name) => fields.push((name, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Control(fields))
    }
}

/// Reads a field's name: which of the known ones it is.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static str>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(FIELDS.into_iter().find(|field| *field == text))
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Natural(number))
    }

    /// Only of numbers below zero.
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Value::Negative)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json};

    #[test]
    fn of_two_fields_with_one_name_the_last_counts() {
        let control = Control::parse(br#"{"port":1,"other":{"port":2},"p\u006frt":3}"#).unwrap();
        assert_eq!(control.port(443), Ok(3));
        assert_eq!(Control::parse(b"{}").unwrap().port(443), Ok(443));
    }

    #[test]
    fn texts_may_be_escaped() {
        let control = Control::parse(r#"{"target":"\/a\u00e9","host":"é","headers":null}"#.as_bytes()).unwrap();
        assert_eq!((control.text("target"), control.text("host")), (Ok("/aé"), Ok("é")));
        assert!(control.has("headers") && !control.has("json") && control.text("headers").is_err());
    }

    proptest! {
        /// Reads as a whole JSON tree would.
        #[test]
        fn fields_are_those_of_the_object(
            fields in prop::collection::btree_map(
                prop::sample::select(FIELDS.into_iter().chain(["else"]).collect::<Vec<_>>()),
                prop_oneof![
                    Just(Json::Null),
                    any::<bool>().prop_map(Json::from),
                    any::<u64>().prop_map(Json::from),
                    (-20_i64..20).prop_map(Json::from),
                    any::<f64>().prop_map(Json::from),
                    ".{0,8}".prop_map(Json::from),
                    Just(serde_json::json!([{"port": 1}, "x"])),
                ],
                0..6,
            ),
        ) {
            let object: Map<String, Json> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            let text = serde_json::to_vec(&object).unwrap();
            let control = Control::parse(&text).unwrap();
            for field in FIELDS {
                prop_assert_eq!(control.has(field), object.contains_key(field));
                prop_assert_eq!(control.text(field).ok(), object.get(field).and_then(Json::as_str));
                let flag = object.get(field).map_or(Some(true), Json::as_bool);
                prop_assert_eq!(control.flag(field, true).ok(), flag);
            }
            let port = object.get("port").map_or(Some(443), |port| port.as_u64()?.try_into().ok());
            prop_assert_eq!(control.port(443).ok(), port);
        }
    }
}
