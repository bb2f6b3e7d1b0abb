//! The reference page of reasons, made from the table of rows.

use super::{Party, Reason, Row};
use std::fmt::Write;

/// What the page says before the reasons.
const ABOUT: &str = "
Each refusal has a reason. The same word stands in the answer, in the access log (`reason`) and in the
metric `tyrian_refusals_total`. `tyrian explain rate_limited` prints what this page says of it.

```json
{
  \"type\": \"about:blank\",
  \"title\": \"Too Many Requests\",
  \"status\": 429,
  \"detail\": \"too many requests\",
  \"reason\": \"rate_limited\",
  \"request_id\": \"01976b0c-6f0e-7d3a-a5a5-2f3e5a1c9b10\"
}
```

A gRPC call gets the status of the column gRPC instead. [Find out why a request was
refused](../guides/why-refused.md) shows where to begin.

| reason | HTTP | gRPC | caused by |
| --- | --- | --- | --- |
";

/// Returns the page in Markdown.
pub fn page() -> String {
    let mut text = format!("# Reasons\n{ABOUT}");
    for reason in Reason::ALL {
        let Row {
            name, grpc, fault, ..
        } = reason.row();
        let status = reason.status_in_words();
        let cause = match fault {
            Party::Client => "the client",
            Party::Gateway => "the gateway",
            Party::Upstream => "the upstream",
        };
        let _ = writeln!(
            text,
            "| [`{name}`](#{name}) | {status} | {grpc} | {cause} |"
        );
    }
    for reason in Reason::ALL {
        let Row {
            name, means, look, ..
        } = reason.row();
        let _ = write!(text, "\n## `{name}`\n\n{means}\n\n{look}\n");
    }
    text
}
