//! `skep-messaging keygen`

use super::{Outcome, say};
use rand::{TryRngCore, rngs::OsRng};
use skep_messaging::NodeKey;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Makes a node key. An existing file is never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file holds the node's only secret: 64 hexadecimal digits, the seed of an Ed25519 key. Whoever has it is the node. Keep a
copy offline; no one can restore it, and a registration without its key earns nothing.

  skep-messaging keygen --out /var/lib/skep-messaging/node.key")]
pub(crate) struct Keygen {
    /// The file to make; only its owner may read it
    #[arg(long)]
    out: PathBuf,
}

impl Keygen {
    pub(super) fn run(self) -> Outcome {
        let mut seed = Zeroizing::new([0; 32]);
        OsRng.try_fill_bytes(&mut *seed)?;
        let key = NodeKey::from_seed(&seed);
        key.save(&self.out)?;
        Ok(say(&key.id().to_string())?)
    }
}
