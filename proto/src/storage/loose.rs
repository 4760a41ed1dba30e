//! Reading JSON from strangers: only the fields some method has are kept, and of those only scalars, so that what is held
//! in memory is bounded by a fixed number of fields and [`MAX_VALUES`] beside the text itself. Types are judged later, per method, because the
//! exact refusal depends on the method.
#![expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused alike")]

use super::limits::{MAX_BATCH, MAX_LISTED_MESSAGES, MAX_LISTED_NAMES};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{borrow::Cow, fmt, marker::PhantomData};

/// The body of a request.
#[derive(Deserialize)]
pub(super) struct LooseEnvelope<'a> {
    #[serde(default, borrow)]
    pub(super) method: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) params: Shape<LooseParams<'a, LooseNested<'a>>>,
}

/// One request of a batch: batches do not nest.
#[derive(Deserialize)]
pub(super) struct LooseSubRequest<'a> {
    #[serde(default, borrow)]
    pub(super) method: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) params: Shape<LooseParams<'a, IgnoredAny>>,
}

/// Every parameter of every method. Aliases are fields of their own: giving both is an error to be named.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a, R: Deserialize<'de>"))]
pub(super) struct LooseParams<'a, R> {
    #[serde(default, borrow)]
    pub(super) pubkey: Scalar<'a>,
    #[serde(default, borrow, rename = "pubKey")]
    pub(super) pubkey_camel: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) namespace: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) timestamp: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) ttl: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) expiry: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) before: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) messages: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) required: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) shorten: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) extend: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) revoke: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) unrevoke: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) data: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) work: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) signature: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) pubkey_ed25519: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) sig_timestamp: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) subaccount: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) subaccount_sig: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) last_hash: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) session: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) contacts: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) ack: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) hold: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) handle: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) token: Scalar<'a>,
    #[serde(default, borrow, rename = "lastHash")]
    pub(super) last_hash_camel: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) max_count: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) max_size: Scalar<'a>,
    #[serde(default, borrow, rename = "maxSize")]
    pub(super) max_size_camel: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) endpoint: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) params: Shape<Box<LooseNodeList<'a>>>,
    #[serde(default = "Option::default")]
    pub(super) requests: Option<R>,
    #[serde(default, borrow, rename = "if")]
    pub(super) condition: Option<Shape<Box<LooseCondition<'a>>>>,
    #[serde(default = "Option::default")]
    pub(super) then: Option<R>,
    #[serde(default = "Option::default", rename = "else")]
    pub(super) otherwise: Option<R>,
}

/// The condition of `ifelse`.
#[derive(Deserialize)]
pub(super) struct LooseCondition<'a> {
    #[serde(default, borrow)]
    pub(super) height_at_least: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) height_before: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) hf_at_least: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) hf_before: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) v_at_least: Scalars<'a>,
    #[serde(default, borrow)]
    pub(super) v_before: Scalars<'a>,
}

/// Parameters of `get_service_nodes`.
#[derive(Deserialize)]
pub(super) struct LooseNodeList<'a> {
    #[serde(default, borrow)]
    pub(super) fields: Names<'a>,
    #[serde(default, borrow)]
    pub(super) limit: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) active_only: Scalar<'a>,
    #[serde(default, borrow)]
    pub(super) service_node_pubkeys: Names<'a>,
    #[serde(default, borrow)]
    pub(super) poll_block_hash: Scalar<'a>,
}

/// A JSON value of which only scalars are kept. `null` counts as absent.
#[derive(Debug, Default)]
pub(super) enum Scalar<'a> {
    #[default]
    Absent,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Text(Cow<'a, str>),
    /// A fraction, a list or an object: wrong everywhere.
    Other,
}

/// An object, or something else where an object belongs.
#[derive(Default)]
pub(super) enum Shape<T> {
    Object(T),
    #[default]
    Other,
}

/// Requests inside a request.
pub(super) enum LooseNested<'a> {
    /// The requests of a batch.
    List {
        /// At most [`MAX_BATCH`].
        requests: Vec<Shape<LooseSubRequest<'a>>>,
        /// There were more.
        excess: bool,
    },
    /// A branch of `ifelse`. How deep these nest is bounded by the reader of JSON.
    Call(Box<LooseEnvelope<'a>>),
    Other,
}

/// One value, or a list of them.
#[derive(Debug, Default)]
pub(super) enum Scalars<'a> {
    #[default]
    Absent,
    One(Scalar<'a>),
    List {
        /// At most [`MAX_LISTED_MESSAGES`].
        values: Vec<Scalar<'a>>,
        /// There were more.
        excess: bool,
    },
}

/// A list of names, or an object whose true fields are the names.
#[derive(Default)]
pub(super) enum Names<'a> {
    #[default]
    Absent,
    List(Vec<Cow<'a, str>>),
    Other,
}

/// Drains a sequence without keeping it.
fn drain<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

macro_rules! scalars_are_other {
    ($($visit:ident: $from:ty),*) => {
        $(fn $visit<E: Error>(self, _: $from) -> Result<Self::Value, E> {
            Ok(Self::Value::Other)
        })*
    };
}

struct ScalarVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for ScalarVisitor<'a> {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(Scalar::Negative(value), Scalar::Unsigned))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }
    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        drain(list).map(|()| Scalar::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Scalar::Other)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shape<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ShapeVisitor<T> {
            type Value = Shape<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Shape::Object)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                drain(list).map(|()| Shape::Other)
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Shape::Other)
            }
            scalars_are_other!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
        }

        deserializer.deserialize_any(ShapeVisitor(PhantomData))
    }
}

/// The first `limit` elements, and whether there were more.
fn read_list<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(
    mut list: A,
    limit: usize,
) -> Result<(Vec<T>, bool), A::Error> {
    let mut values = Vec::new();
    while values.len() < limit {
        match list.next_element()? {
            Some(value) => values.push(value),
            None => return Ok((values, false)),
        }
    }
    let excess = list.next_element::<IgnoredAny>()?.is_some();
    drain(list).map(|()| (values, excess))
}

impl<'de: 'a, 'a> Deserialize<'de> for LooseNested<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NestedVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for NestedVisitor<'a> {
            type Value = LooseNested<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                read_list(list, MAX_BATCH).map(|(requests, excess)| LooseNested::List { requests, excess })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                LooseEnvelope::deserialize(MapAccessDeserializer::new(map))
                    .map(|envelope| LooseNested::Call(Box::new(envelope)))
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(LooseNested::Other)
            }
            scalars_are_other!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
        }

        deserializer.deserialize_any(NestedVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalars<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarsVisitor<'a>(PhantomData<&'a ()>);

        macro_rules! one {
            ($($visit:ident: $from:ty),*) => {
                $(fn $visit<E: Error>(self, value: $from) -> Result<Self::Value, E> {
                    ScalarVisitor(PhantomData).$visit(value).map(Scalars::One)
                })*
            };
        }

        impl<'de: 'a, 'a> Visitor<'de> for ScalarsVisitor<'a> {
            type Value = Scalars<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Scalars::Absent)
            }
            one!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
            fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Scalars::One(Scalar::Text(Cow::Borrowed(value))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                read_list(list, MAX_LISTED_MESSAGES).map(|(values, excess)| Scalars::List { values, excess })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_map(map).map(|_| Scalars::One(Scalar::Other))
            }
        }

        deserializer.deserialize_any(ScalarsVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Names<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for NamesVisitor<'a> {
            type Value = Names<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::new();
                while let Some(value) = list.next_element()? {
                    match value {
                        Scalar::Text(name) if names.len() < MAX_LISTED_NAMES => names.push(name),
                        _ => return drain(list).map(|()| Names::Other),
                    }
                }
                Ok(Names::List(names))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match map.next_value()? {
                        Scalar::Bool(true) if names.len() < MAX_LISTED_NAMES => names.push(name),
                        Scalar::Bool(false) | Scalar::Absent => {}
                        _ => return IgnoredAny.visit_map(map).map(|_| Names::Other),
                    }
                }
                Ok(Names::List(names))
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Names::Absent)
            }
            scalars_are_other!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
        }

        deserializer.deserialize_any(NamesVisitor(PhantomData))
    }
}

/// Most values of one document: a request that names as many messages as it may with an expiry for each, and its fields. A value
/// takes a word or two of text, but several times that once it is read, and a batch may have a hundred lists.
const MAX_VALUES: usize = 2 * MAX_LISTED_MESSAGES + 2_000;

/// A whole document of type `T`, with nothing but white space after it.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    // No text that any method takes has a comma inside.
    let values = body.iter().filter(|byte| **byte == b',').count();
    if values > MAX_VALUES {
        return None;
    }
    serde_json::from_slice(body).ok()
}
