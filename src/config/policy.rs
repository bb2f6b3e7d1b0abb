//! The mode that every policy has; and tables that parse and are checked already, but that nothing
//! obeys yet.
//!
//! When a feature lands, its tables move to a file of their own and lose their `Later`.

use super::units::Percent;
use crate::{table, words};

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

table! {
    /// What traces show, and where they go.
    pub struct Traces {
        /// Share of requests that is traced.
        "sample" => sample: Percent = (Percent(100)) "\"1%\"",
        /// OTLP endpoint.
        "otlp" => otlp: Option<String> = none,
    }
}
