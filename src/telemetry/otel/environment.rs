//! The `OTEL_*` variables: read as the specification says (an empty one counts as unset, booleans are
//! true only as `true`), with whatever is wrong noted once.

use std::cell::RefCell;
use std::time::Duration;

/// Variables that are obeyed.
const OBEYED: &[&str] = &[
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_METRICS_EXPORTER",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRIC_EXPORT_TIMEOUT",
    "OTEL_PROPAGATORS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
];

/// What may follow `OTEL_EXPORTER_OTLP_`, and that with a signal before it.
const OBEYED_OTLP: &[&str] = &[
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "COMPRESSION",
    "ENDPOINT",
    "HEADERS",
    "INSECURE",
    "PROTOCOL",
    "TIMEOUT",
];

/// Standard variables about what this gateway does not do, and what to do instead.
const BESIDE: &[(&str, &str)] = &[
    (
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        "spans have a fixed set of attributes",
    ),
    ("OTEL_BLRP_", "logs are not sent by OTLP"),
    ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "spans have no events"),
    ("OTEL_EXPORTER_OTLP_LOGS_", "logs are not sent by OTLP"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "histograms have fixed buckets",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "metrics are cumulative",
    ),
    (
        "OTEL_EXPORTER_PROMETHEUS_",
        "see admin.metrics in the configuration",
    ),
    ("OTEL_EXPORTER_ZIPKIN_", "only OTLP is spoken"),
    ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "spans have no links"),
    ("OTEL_LOGRECORD_", "logs are not sent by OTLP"),
    ("OTEL_LOGS_EXPORTER", "logs are not sent by OTLP"),
    ("OTEL_LOG_LEVEL", "see TYRIAN_LOG"),
    (
        "OTEL_METRICS_EXEMPLAR_FILTER",
        "traced requests leave exemplars",
    ),
    (
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "spans have a fixed set of attributes",
    ),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "spans have no events"),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "spans have no links"),
];

/// Looks variables up, and notes what cannot be obeyed.
pub struct Environment<'e> {
    get: &'e dyn Fn(&str) -> Option<String>,
    wrong: RefCell<Vec<String>>,
}

impl<'e> Environment<'e> {
    pub fn new(get: &'e dyn Fn(&str) -> Option<String>) -> Self {
        let wrong = RefCell::default();
        Self { get, wrong }
    }

    /// A variable that is set to something.
    pub fn text(&self, name: &str) -> Option<String> {
        let text = (self.get)(name)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The value of the signal's own variable of the exporter, else of the general one; and which
    /// of them it is.
    pub fn otlp(&self, signal: &str, what: &str) -> Option<(String, String)> {
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
        let general = format!("OTEL_EXPORTER_OTLP_{what}");
        [own, general]
            .into_iter()
            .find_map(|name| Some((self.text(&name)?, name)))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// A value that parses, or a note that it does not.
    pub fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.complain(format!("{name}={text} is not understood, and ignored"));
        }
        value
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.parsed(name, |text| text.parse().ok())
    }

    pub fn millis(&self, name: &str) -> Option<Duration> {
        let millis = |text: &str| text.parse().ok().filter(|millis| *millis > 0);
        self.parsed(name, millis).map(Duration::from_millis)
    }

    pub fn complain(&self, why: String) {
        let mut wrong = self.wrong.borrow_mut();
        if !wrong.contains(&why) {
            wrong.push(why);
        }
    }

    /// What was wrong with what has been looked up.
    pub fn wrong(self) -> Vec<String> {
        self.wrong.into_inner()
    }
}

/// What to say about the variables of this process that are not obeyed.
pub fn remarks() -> Vec<String> {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let mut remarks: Vec<_> = set.filter_map(|(name, _)| remark(name.to_str()?)).collect();
    remarks.sort();
    remarks
}

/// What to say about a variable of this name, if it is not obeyed.
pub fn remark(name: &str) -> Option<String> {
    let rest = name.strip_prefix("OTEL_")?;
    let otlp = rest.strip_prefix("EXPORTER_OTLP_").map(|rest| {
        let of = |signal| rest.strip_prefix(signal);
        of("TRACES_").or_else(|| of("METRICS_")).unwrap_or(rest)
    });
    if OBEYED.contains(&name) || otlp.is_some_and(|rest| OBEYED_OTLP.contains(&rest)) {
        return None;
    }
    let beside = BESIDE.iter().find(|(known, _)| match known.ends_with('_') {
        true => name.starts_with(known),
        false => name == *known,
    });
    if let Some((_, instead)) = beside {
        return Some(format!("{name} has no effect: {instead}"));
    }
    let meant = OBEYED
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= 3)
        .min();
    Some(match meant {
        Some((_, meant)) => format!("{name} is not known; did you mean {meant}?"),
        None => format!("{name} is not known, and has no effect"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Environment, remark};

    #[test]
    fn variables_that_are_obeyed_need_no_remark_and_others_get_one() {
        for obeyed in [
            "OTEL_SERVICE_NAME",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
            "PATH",
        ] {
            assert_eq!(remark(obeyed), None);
        }
        let meant = remark("OTEL_TRACE_SAMPLER").unwrap();
        assert!(meant.contains("OTEL_TRACES_SAMPLER"), "{meant}");
        assert!(remark("OTEL_LOG_LEVEL").unwrap().contains("TYRIAN_LOG"));
        assert!(remark("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT").is_some());
        assert!(remark("OTEL_MY_OWN").unwrap().contains("no effect"));
    }

    #[test]
    fn empty_is_unset_and_only_true_is_true() {
        let get = |name: &str| match name {
            "E" => Some(" ".to_owned()),
            "T" => Some("True".to_owned()),
            "Y" => Some("yes".to_owned()),
            _ => None,
        };
        let env = Environment::new(&get);
        assert_eq!(env.text("E"), None);
        assert!(env.flag("T") && !env.flag("Y") && !env.flag("N"));
        assert_eq!(env.number("Y"), None);
        assert_eq!(env.wrong().len(), 1);
    }
}
