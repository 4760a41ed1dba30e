//! Fields of requests: the right type, or a refusal in the words clients know.
#![expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused alike")]

use super::ParamsError;
use crate::{
    account::AccountAddress,
    storage::{
        MessageHash, Namespace, Scope, SubaccountToken,
        limits::MIN_TIMESTAMP,
        loose::{LooseParams, Names, Scalar, Scalars},
    },
};

pub(super) fn text<'a>(field: &'static str, value: &'a Scalar<'_>) -> Result<Option<&'a str>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        _ => Err(ParamsError::Type { field, expected: "string" }),
    }
}

pub(super) fn integer(field: &'static str, value: &Scalar<'_>) -> Result<Option<i64>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Unsigned(number) => Ok(Some(i64::try_from(*number).unwrap_or(i64::MAX))),
        Scalar::Negative(number) => Ok(Some(*number)),
        _ => Err(ParamsError::Type { field, expected: "integer" }),
    }
}

/// A number that old clients send as text.
pub(super) fn stringified(
    field: &'static str,
    value: &Scalar<'_>,
    expected: &'static str,
) -> Result<Option<u64>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Unsigned(number) => Ok(Some(*number)),
        Scalar::Text(digits) => {
            let no_number = |_| ParamsError::NoNumber { field, given: quoted(digits) };
            digits.parse().map(Some).map_err(no_number)
        }
        _ => Err(ParamsError::Type { field, expected }),
    }
}

pub(super) fn timestamp(field: &'static str, value: &Scalar<'_>) -> Result<Option<u64>, ParamsError> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Unsigned(number) => in_milliseconds(field, *number).map(Some),
        _ => Err(ParamsError::Type { field, expected: "integer timestamp (in milliseconds)" }),
    }
}

pub(super) const fn in_milliseconds(field: &'static str, time: u64) -> Result<u64, ParamsError> {
    if time < MIN_TIMESTAMP { Err(ParamsError::NotMilliseconds(field)) } else { Ok(time) }
}

pub(super) fn namespace(value: &Scalar<'_>) -> Result<Namespace, ParamsError> {
    let wrong_type = ParamsError::Type { field: "namespace", expected: "16-bit integer" };
    let number = integer("namespace", value).map_err(|_| wrong_type)?.unwrap_or(0);
    i16::try_from(number).map(Namespace).map_err(|_| ParamsError::OutOfRange("namespace"))
}

pub(super) fn account(plain: &Scalar<'_>, camel: &Scalar<'_>) -> Result<AccountAddress, ParamsError> {
    let given = match (text("pubkey", plain)?, text("pubKey", camel)?) {
        (Some(_), Some(_)) => return Err(ParamsError::Conflict("pubkey", "pubKey")),
        (one, other) => one.or(other).ok_or(ParamsError::Missing("pubkey"))?,
    };
    given.parse().map_err(|_| ParamsError::Account)
}

pub(super) fn names(field: &'static str, names: Names<'_>) -> Result<Vec<String>, ParamsError> {
    match names {
        Names::Absent => Ok(Vec::new()),
        Names::List(names) => Ok(names.into_iter().map(Into::into).collect()),
        Names::Other => Err(ParamsError::Type { field, expected: "string array" }),
    }
}

/// A stranger's word as a JSON string.
fn quoted(word: &str) -> String {
    serde_json::Value::from(shown(word)).to_string()
}

/// A stranger's word as it is repeated in a refusal: not at any length.
pub(super) fn shown(word: &str) -> String {
    const LONGEST: usize = 64;
    word.chars().take(LONGEST).collect()
}

pub(super) fn flag(field: &'static str, value: &Scalar<'_>) -> Result<bool, ParamsError> {
    match value {
        Scalar::Absent => Ok(false),
        Scalar::Bool(flag) => Ok(*flag),
        _ => Err(ParamsError::Type { field, expected: "boolean" }),
    }
}

/// A namespace or `"all"`; the default one if it is absent.
pub(super) fn scope(value: &Scalar<'_>) -> Result<Scope, ParamsError> {
    match value {
        Scalar::Text(all) if *all == Scope::ALL => Ok(Scope::All),
        Scalar::Text(_) => Err(ParamsError::Type { field: "namespace", expected: "integer or \"all\"" }),
        other => namespace(other).map(Scope::One),
    }
}

/// One value or a list of them, each read by `read`. `None` if it is absent.
fn list<'a, T>(
    value: &'a Scalars<'a>,
    wrong: ParamsError,
    read: impl Fn(&'a Scalar<'a>) -> Option<T>,
) -> Result<Option<Vec<T>>, ParamsError> {
    let values = match value {
        Scalars::Absent => return Ok(None),
        Scalars::One(one) => std::slice::from_ref(one),
        Scalars::List { excess: true, .. } => return Err(ParamsError::TooManyListed),
        Scalars::List { values, .. } => values,
    };
    values.iter().map(read).collect::<Option<_>>().map(Some).ok_or(wrong)
}

pub(super) fn texts<'a>(field: &'static str, value: &'a Scalars<'a>) -> Result<Option<Vec<&'a str>>, ParamsError> {
    list(value, ParamsError::Type { field, expected: "string array" }, |value| match value {
        Scalar::Text(text) => Some(text.as_ref()),
        _ => None,
    })
}

pub(super) fn integers(field: &'static str, value: &Scalars<'_>) -> Result<Option<Vec<i64>>, ParamsError> {
    list(value, ParamsError::Type { field, expected: "integer array" }, |value| integer(field, value).ok().flatten())
}

pub(super) fn timestamps(field: &'static str, value: &Scalars<'_>) -> Result<Option<Vec<u64>>, ParamsError> {
    let times = list(value, ParamsError::Type { field, expected: "timestamp array" }, |value| match value {
        Scalar::Unsigned(time) => Some(*time),
        _ => None,
    })?;
    times.map(|times| times.into_iter().map(|time| in_milliseconds(field, time)).collect()).transpose()
}

/// The field `expiry` where it is one time.
pub(super) fn single_expiry<R>(params: &LooseParams<'_, R>) -> Result<Option<u64>, ParamsError> {
    match &params.expiry {
        Scalars::Absent => Ok(None),
        Scalars::One(expiry) => timestamp("expiry", expiry),
        Scalars::List { .. } => timestamp("expiry", &Scalar::Other),
    }
}

pub(super) fn messages<R>(params: &LooseParams<'_, R>) -> Result<Vec<MessageHash>, ParamsError> {
    let texts = texts("messages", &params.messages)?.ok_or(ParamsError::Missing("messages"))?;
    if texts.is_empty() {
        return Err(ParamsError::NoMessages);
    }
    texts.iter().map(|text| text.parse().map_err(|_| ParamsError::MessageHash(shown(text)))).collect()
}

pub(super) fn tokens(field: &'static str, value: &Scalars<'_>) -> Result<Vec<SubaccountToken>, ParamsError> {
    let texts = texts(field, value)?.ok_or(ParamsError::Missing(field))?;
    texts.iter().map(|text| text.parse().map_err(|_| ParamsError::Token(field))).collect()
}
