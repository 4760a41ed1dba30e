//! Requests made of requests: `batch`, `sequence`, `ifelse`.

use super::{
    META, Method, ParamsError, Request,
    fields::{integer, integers, shown},
};
use crate::storage::{
    limits::MAX_BATCH,
    loose::{LooseCondition, LooseEnvelope, LooseNested, LooseParams, LooseSubRequest, Scalar, Shape},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// One of two requests, by what the node knows of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct IfElse {
    /// What is asked.
    pub condition: Condition,
    /// Done if it holds.
    pub then: Option<Request>,
    /// Done otherwise.
    pub otherwise: Option<Request>,
}

/// Bounds that must all hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Least protocol generation.
    pub hf_at_least: Option<[i64; 2]>,
    /// Protocol generation before which it holds.
    pub hf_before: Option<[i64; 2]>,
    /// Least version of the node's software.
    pub v_at_least: Option<[i64; 3]>,
    /// Version before which it holds.
    pub v_before: Option<[i64; 3]>,
    /// Least height of the chain.
    pub height_at_least: Option<i64>,
    /// Height before which it holds.
    pub height_before: Option<i64>,
}

impl Condition {
    /// Whether it holds at a node of protocol generation `hf`, version `v`, at `height`.
    pub fn holds(&self, hf: [u16; 2], v: [u16; 3], height: u64) -> bool {
        let (hf, v) = (hf.map(i64::from), v.map(i64::from));
        let height = i64::try_from(height).unwrap_or(i64::MAX);
        self.hf_at_least.is_none_or(|least| hf >= least)
            && self.hf_before.is_none_or(|end| hf < end)
            && self.v_at_least.is_none_or(|least| v >= least)
            && self.v_before.is_none_or(|end| v < end)
            && self.height_at_least.is_none_or(|least| height >= least)
            && self.height_before.is_none_or(|end| height < end)
    }

    fn read(loose: &LooseCondition<'_>) -> Result<Self, ParamsError> {
        let height_at_least = integer("height_at_least", &loose.height_at_least)?;
        let height_before = integer("height_before", &loose.height_before)?;
        let condition = Self {
            hf_at_least: integers("hf_at_least", &loose.hf_at_least)?.and_then(version),
            hf_before: integers("hf_before", &loose.hf_before)?.and_then(version),
            v_at_least: integers("v_at_least", &loose.v_at_least)?.and_then(version),
            v_before: integers("v_before", &loose.v_before)?.and_then(version),
            height_at_least,
            height_before,
        };
        if condition == Self::default() { Err(ParamsError::NoBound) } else { Ok(condition) }
    }
}

/// The first `N` parts, with zeros for those left out. Nothing says nothing.
fn version<const N: usize>(parts: Vec<i64>) -> Option<[i64; N]> {
    let mut version = [0; N];
    version.iter_mut().zip(&parts).for_each(|(to, from)| *to = *from);
    (!parts.is_empty()).then_some(version)
}

/// The requests of `batch` and `sequence`.
pub(super) fn list(requests: Option<LooseNested<'_>>) -> Result<Vec<Method>, ParamsError> {
    let Some(LooseNested::List { requests, excess }) = requests else { return Err(ParamsError::NoBatch) };
    if requests.is_empty() {
        return Err(ParamsError::NoBatch);
    }
    if excess {
        return Err(ParamsError::BatchTooLong);
    }
    requests
        .into_iter()
        .map(|request| {
            let Shape::Object(LooseSubRequest { method, params }) = request else {
                return Err(ParamsError::BatchEntry);
            };
            let (Scalar::Text(method), Shape::Object(params)) = (method, params) else {
                return Err(ParamsError::BatchKeys);
            };
            match Method::from_params(&method, params) {
                Some(parsed) => parsed,
                None if META.contains(&method.as_ref()) => Err(ParamsError::Nested),
                None => Err(ParamsError::BatchMethod(shown(&method))),
            }
        })
        .collect()
}

impl IfElse {
    pub(super) fn from_params(params: LooseParams<'_, LooseNested<'_>>) -> Result<Self, ParamsError> {
        let Some(Shape::Object(condition)) = params.condition else { return Err(ParamsError::NoCondition) };
        let condition = Condition::read(&condition)?;
        let then = params.then.map(|nested| branch("then", nested)).transpose()?;
        let otherwise = params.otherwise.map(|nested| branch("else", nested)).transpose()?;
        if then.is_none() && otherwise.is_none() {
            return Err(ParamsError::NoBranch);
        }
        Ok(Self { condition, then, otherwise })
    }
}

fn branch(name: &'static str, nested: LooseNested<'_>) -> Result<Request, ParamsError> {
    let LooseNested::Call(envelope) = nested else { return Err(ParamsError::BranchShape(name)) };
    let LooseEnvelope { method: Scalar::Text(method), params: Shape::Object(params) } = *envelope else {
        return Err(ParamsError::BranchKeys(name));
    };
    Request::from_params(&method, params).ok_or(ParamsError::BranchMethod(name))?
}

impl Serialize for IfElse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("if", &self.condition)?;
        if let Some(then) = &self.then {
            map.serialize_entry("then", then)?;
        }
        if let Some(otherwise) = &self.otherwise {
            map.serialize_entry("else", otherwise)?;
        }
        map.end()
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let versions: [(_, Option<&[i64]>); 4] = [
            ("hf_at_least", self.hf_at_least.as_ref().map(<[_; 2]>::as_slice)),
            ("hf_before", self.hf_before.as_ref().map(<[_; 2]>::as_slice)),
            ("v_at_least", self.v_at_least.as_ref().map(<[_; 3]>::as_slice)),
            ("v_before", self.v_before.as_ref().map(<[_; 3]>::as_slice)),
        ];
        for (name, bound) in versions {
            if let Some(bound) = bound {
                map.serialize_entry(name, bound)?;
            }
        }
        for (name, bound) in [("height_at_least", self.height_at_least), ("height_before", self.height_before)] {
            if let Some(bound) = bound {
                map.serialize_entry(name, &bound)?;
            }
        }
        map.end()
    }
}

/// The parameters of `batch` and `sequence`.
#[derive(Serialize)]
pub(super) struct List<'a> {
    requests: &'a [Method],
}

impl<'a> List<'a> {
    pub(super) fn new(requests: &'a [Method]) -> Self {
        debug_assert!(requests.len() <= MAX_BATCH);
        Self { requests }
    }
}
