//! The mode that every policy has.

use crate::words;

words! {
    /// Whether a policy acts, only tells what it would do, or rests.
    pub enum Mode {
        /// Acts.
        "enforce" => Enforce,
        /// Decides, counts and logs, but lets pass.
        "report" => Report,
        /// Rests.
        "off" => Off,
    }
}
