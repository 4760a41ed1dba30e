//! What calls and the hook cost. What the listeners (reward queue, swarms) do is measured with the call.

mod measured;

pub use measured::Measured;

use frame_support::weights::Weight;

/// What each call and hook costs.
pub trait WeightInfo {
    /// `register`: one Ed25519 verification, one key check.
    fn register() -> Weight;
    /// `contribute`.
    fn contribute() -> Weight;
    /// `request_unlock`.
    fn request_unlock() -> Weight;
    /// `withdraw`, returning every stake in the worst case.
    fn withdraw() -> Weight;
    /// `update_endpoint`.
    fn update_endpoint() -> Weight;
    /// `announce`, authorized.
    fn announce() -> Weight;
    /// Authorizing `announce`: one verification.
    fn authorize_announce() -> Weight;
    /// `set_session_keys`: three verifications.
    fn set_session_keys() -> Weight;
    /// `hand_over`: one verification, one key check.
    fn hand_over() -> Weight;
    /// `retract_session_keys`.
    fn retract_session_keys() -> Weight;
    /// Ending `ended` nodes at the start of a block.
    fn work_off_agenda(ended: u32) -> Weight;
}
