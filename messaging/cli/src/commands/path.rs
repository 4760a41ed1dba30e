//! The way messages take.

use crate::{commands::send::diversity_word, context::Context, failure::Failure};
use clap::Args;
use serde::Serialize;
use skep_client::{Diversity, PathHop, Purpose, UsedPath};
use skep_primitives::ServiceNodeId;
use std::{fmt, net::Ipv4Addr};

/// Nothing to choose.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Tests the paths in use and shows them.
pub(crate) async fn run(Arguments {}: Arguments, context: &Context) -> Result<(), Failure> {
    for UsedPath { purpose, hops, diversity, established } in context.client()?.paths().await? {
        let hops = hops.map(|PathHop { node, ip }| Hop { node, ip });
        context.output().answer(&Shown { purpose, hops, diversity, established });
    }
    Ok(())
}

#[derive(Serialize)]
struct Shown {
    purpose: Purpose,
    hops: [Hop; 3],
    #[serde(serialize_with = "diversity_word")]
    diversity: Diversity,
    established: bool,
}

#[derive(Serialize)]
struct Hop {
    node: ServiceNodeId,
    ip: Option<Ipv4Addr>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: you", self.purpose)?;
        for Hop { node, ip } in &self.hops {
            let short: String = node.to_string().chars().take(8).collect();
            match ip {
                Some(ip) => write!(f, " > {short} ({ip})")?,
                None => write!(f, " > {short}")?,
            }
        }
        write!(f, " > the swarm\n  {}", self.diversity)
    }
}
