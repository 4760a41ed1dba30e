//! Namespaces: the separate boxes of one mailbox, and who may do what in them (`protocol.md` section 4).

use std::fmt;

/// A box of a mailbox. Its number decides who may store into it and read from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(pub i16);

impl Namespace {
    /// Direct messages.
    pub const DEFAULT: Self = Self(0);
    /// Groups of an older generation: stored and read without a signature.
    pub const LEGACY_GROUP: Self = Self(-10);

    /// Whether storing needs no signature.
    pub const fn anyone_may_store(self) -> bool {
        self.0 % 10 == 0
    }

    /// Whether reading needs no signature.
    pub const fn anyone_may_read(self) -> bool {
        self.0 == Self::LEGACY_GROUP.0 || self.is_public_outbox()
    }

    /// Whether this holds one message that its owner publishes for everyone.
    pub const fn is_public_outbox(self) -> bool {
        // `-32768 % 20` is -8: no overflow in negating a remainder.
        self.0 < 0 && -(self.0 % 20) == 1
    }

    /// Whether subaccounts may still read here after they were revoked, to learn of it.
    pub const fn outlives_revocation(self) -> bool {
        self.0 < 0 && -(self.0 % 100) == 11
    }

    /// The namespace inside signed strings and message hashes: nothing for the default one.
    pub fn signed_form(self) -> String {
        if self == Self::DEFAULT { String::new() } else { self.0.to_string() }
    }
}

/// One namespace, or all of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One.
    One(Namespace),
    /// All.
    All,
}

impl Scope {
    /// The scope inside signed strings.
    pub fn signed_form(self) -> String {
        match self {
            Self::One(namespace) => namespace.signed_form(),
            Self::All => Self::ALL.to_owned(),
        }
    }

    /// How requests name every namespace.
    pub(super) const ALL: &'static str = "all";
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_follow_the_table() {
        for open in [0, 10, -10, 400, -1230, 32760, -32760] {
            assert!(Namespace(open).anyone_may_store(), "{open}");
        }
        for owned in [1, -1, 11, -11, 32767, i16::MIN] {
            assert!(!Namespace(owned).anyone_may_store(), "{owned}");
        }
        for outbox in [-1, -21, -981] {
            assert!(Namespace(outbox).is_public_outbox() && Namespace(outbox).anyone_may_read(), "{outbox}");
        }
        for inbox in [0, 1, 21, -11, -20, i16::MIN] {
            assert!(!Namespace(inbox).is_public_outbox() && !Namespace(inbox).anyone_may_read(), "{inbox}");
        }
        assert!(Namespace(-10).anyone_may_read());
        for lasting in [-11, -111, -12_311] {
            assert!(Namespace(lasting).outlives_revocation(), "{lasting}");
        }
        for other in [11, -1, -10, -21, 0, i16::MIN] {
            assert!(!Namespace(other).outlives_revocation(), "{other}");
        }
    }
}
