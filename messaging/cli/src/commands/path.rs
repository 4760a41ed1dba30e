//! The way messages take.

use crate::{commands::send::diversity_word, context::Context, failure::Failure, people::Names};
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
    let mut client = context.client()?;
    let (paths, names) = (client.paths().await?, Names::of(&client)?);
    let most = paths.iter().map(|path| path.diversity).max();
    for UsedPath { purpose, hops, diversity, established } in paths {
        let to = if let Purpose::Contact(account) = &purpose { Some(names.person(account).to_string()) } else { None };
        let hops = hops.map(|PathHop { node, ip }| Hop { node, ip });
        context.output().answer(&Shown { purpose, hops, diversity, established, to });
    }
    if let Some(diversity) = most {
        context.output().remark(diversity);
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
    /// To whom, for people.
    #[serde(skip)]
    to: Option<String>,
}

#[derive(Serialize)]
struct Hop {
    node: ServiceNodeId,
    ip: Option<Ipv4Addr>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some(to) => write!(f, "writing to {to}: you")?,
            None => write!(f, "{}: you", self.purpose)?,
        }
        for Hop { node, ip } in &self.hops {
            let short: String = node.to_string().chars().take(8).collect();
            match ip {
                Some(ip) => write!(f, " > {short} ({ip})")?,
                None => write!(f, " > {short}")?,
            }
        }
        f.write_str(if self.to.is_some() { " > their swarm" } else { " > the swarm" })
    }
}
