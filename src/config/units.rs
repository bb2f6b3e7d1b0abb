//! Values that carry their unit in the text: percentages and sizes (durations are `std::time::Duration`).

/// A share in hundredths of a percent (0 to 10 000), so that equality and hashing are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u16);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);
