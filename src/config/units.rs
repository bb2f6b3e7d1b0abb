//! Values that carry their unit in the text: durations, sizes, percentages, rates.

use super::diagnostic::Diagnostic;
use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use std::fmt;
use std::time::Duration;
use toml::de::DeValue;

/// A share in hundredths of a percent (0 to 10 000), so that equality and hashing are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Percent(pub u16);

impl Percent {
    /// 100%.
    pub const ALL: Self = Self(10_000);

    /// 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 100.0)
    }
}

impl serde::Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || serde::de::Error::custom(format!("`{text}` is not a percentage"));
        percent(&text).ok_or_else(wrong)
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// So many per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
}

/// The number in front and the unit behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number
        .replace('_', "")
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())?;
    Some((number, unit.trim_start()))
}

/// Parses `250ms`, `3s`, `1.5m`, `2h`, `7d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|value| *value <= DURATION_MAX)
}

/// Longest duration: a year. Longer ones overflow clocks and mean a mistake.
const DURATION_MAX: Duration = Duration::from_hours(8784);

/// A duration as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub Duration);

impl fmt::Display for Lasting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => out.write_str("0s"),
            duration => write!(out, "{duration:?}"),
        }
    }
}

/// Parses `64KiB`, `10MB`, `512B`.
pub fn bytes(text: &str) -> Option<Bytes> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let value = number * factor as f64;
    (value <= (1_u64 << 53) as f64).then_some(Bytes(value as u64))
}

/// Parses `5%` and `0.25%`.
pub fn percent(text: &str) -> Option<Percent> {
    let (number, unit) = split(text)?;
    (unit == "%" && number <= 100.0).then(|| Percent((number * 100.0).round() as u16))
}

/// Parses `100/s`, `10/m`, `5/h`.
pub fn rate(text: &str) -> Option<Rate> {
    let (count, per) = text.split_once('/')?;
    let per = match per {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    let count = count
        .replace('_', "")
        .parse()
        .ok()
        .filter(|count| *count > 0)?;
    Some(Rate {
        count,
        per: Duration::from_secs(per),
    })
}

/// A kind of value with a unit.
struct Unit<T> {
    what: &'static str,
    /// Units that are probably meant where there is none, the likeliest first.
    likely: &'static [&'static str],
    /// The same for numbers from this one on.
    large: (f64, &'static [&'static str]),
    /// Units that are probably meant by what begins like this, in lower case.
    meant: &'static [(&'static str, &'static [&'static str])],
    parse: fn(&str) -> Option<T>,
}

impl<T> Unit<T> {
    /// Reads a text with a unit. Whoever left it out, or misspelt it, is told what to write for
    /// this very number.
    fn read(&self, node: &Node, cx: &Cx) -> Option<T> {
        let bare = match node.value {
            DeValue::Integer(number) => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => None,
        };
        if let Some(number) = bare {
            let spelled = self.spelled(number);
            let message = format!("`{}` needs a unit: {}", node.key(), spelled.join(" or "));
            let diagnostic = Diagnostic::error("TY0204", message);
            let diagnostic = diagnostic.at(&node.spot(), "a number without a unit");
            let diagnostic = diagnostic.help(format!("write it as {}, in quotes", self.what));
            cx.report(match spelled.first() {
                Some(first) => diagnostic.patch(&node.spot(), first),
                None => diagnostic,
            });
            return None;
        }
        let text = String::read(node, cx)?;
        let value = (self.parse)(&text);
        if value.is_none() {
            let quoted = node.quoted(&text);
            let spelled = self.spelled(&quoted).join(" or ");
            let message = format!("`{quoted}` is not {}", self.what);
            let label = format!("write a number and a unit, such as {spelled}");
            cx.report(Diagnostic::error("TY0204", message).at(&node.spot(), label));
        }
        value
    }

    /// How the number of a text could be written, in quotes; some other number, if it is itself
    /// at fault.
    fn spelled(&self, text: &str) -> Vec<String> {
        let digit = |c: char| c.is_ascii_digit() || matches!(c, '.' | '_');
        let end = text.find(|c| !digit(c)).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim();
        let known = !unit.is_empty() && (self.parse)(&format!("10{unit}")).is_some();
        let number = if known { "10" } else { number };
        let lower = unit.to_ascii_lowercase();
        let mut meant = self.meant.iter();
        let meant = meant.find(|(beginning, _)| end > 0 && lower.starts_with(beginning));
        let (from, large) = self.large;
        let is_large = number.parse().is_ok_and(|number: f64| number >= from);
        let likely = if is_large { large } else { self.likely };
        let units = meant.map_or(likely, |(_, units)| units);
        let with = |number: &str| -> Vec<String> {
            let texts = units.iter().map(|unit| format!("{number}{unit}"));
            let sound = texts.filter(|text| (self.parse)(text).is_some());
            sound.map(|text| format!("{text:?}")).collect()
        };
        match with(number) {
            spelled if spelled.is_empty() => with("10"),
            spelled => spelled,
        }
    }
}

const DURATION: Unit<Duration> = Unit {
    what: "a duration",
    // Few wait for 3 milliseconds, and few for 300 seconds.
    likely: &["s", "ms"],
    large: (100.0, &["ms", "s"]),
    meant: &[
        ("milli", &["ms"]),
        ("sec", &["s"]),
        ("min", &["m"]),
        ("h", &["h"]),
        ("day", &["d"]),
    ],
    parse: duration,
};

/// K is 1000 to some and 1024 to others.
const SIZE: Unit<Bytes> = Unit {
    what: "a size",
    likely: &["KiB", "MiB"],
    large: (65_536.0, &["B", "KiB"]),
    meant: &[
        ("k", &["KiB", "KB"]),
        ("m", &["MiB", "MB"]),
        ("g", &["GiB", "GB"]),
        ("b", &["B"]),
    ],
    parse: bytes,
};

const SHARE: Unit<Percent> = Unit {
    what: "a percentage from 0% to 100%",
    likely: &["%"],
    large: (0.0, &["%"]),
    meant: &[],
    parse: percent,
};

const RATE: Unit<Rate> = Unit {
    what: "a rate above zero",
    likely: &["/s", "/m"],
    large: (0.0, &["/s", "/m"]),
    meant: &[
        ("/s", &["/s"]),
        ("/m", &["/m"]),
        ("/h", &["/h"]),
        ("/d", &["/d"]),
        ("rps", &["/s"]),
        ("rpm", &["/m"]),
    ],
    parse: rate,
};

impl Read for Duration {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        DURATION.read(node, cx)
    }

    fn shape() -> Shape {
        Shape::Text(
            "duration, such as `250ms`, `3s`, `5m`, `1h`",
            "^[0-9._]+ ?(us|ms|s|m|min|h|d)$|\\$\\{",
        )
    }
}

impl Read for Bytes {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        SIZE.read(node, cx)
    }

    fn shape() -> Shape {
        Shape::Text(
            "size, such as `64KiB` or `10MB`",
            "^[0-9._]+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$|\\$\\{",
        )
    }
}

impl Read for Percent {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        SHARE.read(node, cx)
    }

    fn shape() -> Shape {
        Shape::Text("percentage, such as `5%`", "^[0-9.]+ ?%$|\\$\\{")
    }
}

impl Read for Rate {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        RATE.read(node, cx)
    }

    fn shape() -> Shape {
        Shape::Text(
            "rate, such as `100/s` or `10/m`",
            "^[0-9_]+/(s|m|min|h|d)$|\\$\\{",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, DURATION, Percent, RATE, SHARE, SIZE, bytes, duration, percent, rate};
    use std::time::Duration;

    #[test]
    fn units_say_what_they_mean() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(bytes("64KiB"), Some(Bytes(65_536)));
        assert_eq!(bytes("64KB"), Some(Bytes(64_000)));
        assert_eq!(percent("0.25%"), Some(Percent(25)));
        assert_eq!(rate("100/s").unwrap().count, 100);
    }

    #[test]
    fn who_misspells_a_unit_is_told_how_to_write_that_number() {
        for (text, told) in [
            ("64K", "\"64KiB\" \"64KB\""),
            ("2g", "\"2GiB\" \"2GB\""),
            ("1024", "\"1024KiB\" \"1024MiB\""),
            ("much", "\"10KiB\" \"10MiB\""),
        ] {
            assert_eq!(SIZE.spelled(text).join(" "), told, "{text}");
        }
        for (text, told) in [
            ("100", "\"100/s\" \"100/m\""),
            ("5/minute", "\"5/m\""),
            ("0/s", "\"10/s\""),
        ] {
            assert_eq!(RATE.spelled(text).join(" "), told, "{text}");
        }
        for (text, told) in [
            ("5 sec", "\"5s\""),
            ("99999d", "\"10s\" \"10ms\""),
            ("30", "\"30s\" \"30ms\""),
            ("250", "\"250ms\" \"250s\""),
        ] {
            assert_eq!(DURATION.spelled(text).join(" "), told, "{text}");
        }
        assert_eq!(SHARE.spelled("5"), ["\"5%\""]);
        assert_eq!(SHARE.spelled("150%"), ["\"10%\""]);
    }

    #[test]
    fn doubtful_units_are_refused() {
        for text in [
            "250",
            "250 parsecs",
            "",
            "s",
            "-1s",
            "1e3s",
            "999999d",
            "nans",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["64K", "64k", "64", "64kib", "99999999999GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        for text in ["5", "101%", "-1%"] {
            assert_eq!(percent(text), None, "{text}");
        }
        for text in ["100", "0/s", "100/x", "1.5/s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}
