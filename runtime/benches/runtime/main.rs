//! What the chain's own rules cost (`scripts/bench chain`).

mod blocks;
mod chain;
mod roster;

use skep_measure::Report;
use std::io;

fn main() -> io::Result<()> {
    let mut report = Report::from_arguments();
    blocks::rows(&mut report)?;
    roster::rows(&mut report)
}
