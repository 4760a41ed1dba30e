//! `skep-messaging config`

use super::{Outcome, say};
use skep_messaging::config::EXAMPLE;

pub(super) fn run() -> Outcome {
    Ok(say(EXAMPLE.trim_end())?)
}
