//! Lines in, differences out.

use super::{Replay, Report};
use crate::config::Config;
use crate::routing::Table;
use crate::routing::testing::config;

const OLD: &str = "[routes.all]\nmatch = { path = \"/*\" }\nservice = \"shop\"\n";
const NEW: &str = "[routes.all]\nmatch = { path = \"/*\" }\nservice = \"shop\"\n\
    [routes.beta]\nmatch = { path = \"/*\", headers = { x-group = \"beta\" } }\nservice = \"shop\"\n\
    [routes.query]\nmatch = { path = \"/q\", query = { a = \"1\" } }\nrespond = {}\n";

fn run(new: &Config, old: Option<&Config>, lines: &[&str]) -> Report {
    let new_table = Table::build(new).unwrap();
    let old_table = old.map(|old| Table::build(old).unwrap());
    let old = old.zip(old_table.as_ref());
    let mut replay = Replay::new((new, &new_table), old, 2);
    for line in lines {
        replay.line(line.as_bytes());
    }
    replay.finish()
}

#[test]
fn what_changes_is_grouped_with_examples_and_the_rest_is_counted() {
    let (new, old) = (config(NEW), config(OLD));
    let lines = [
        r#"{"method":"GET","host":"a","path":"/x","client":"10.0.0.1"}"#,
        r#"{"method":"GET","host":"a","path":"/y","headers":{"x-group":"beta"}}"#,
        r#"{"method":"GET","host":"a","path":"/z","headers":{"x-group":"beta"}}"#,
        r#"{"method":"GET","host":"a","path":"/q","matched_query":"b=2&a=1"}"#,
        r#"{"status":408,"reason":"request_timeout"}"#,
        "not a line",
    ];
    let report = run(&new, Some(&old), &lines);
    assert_eq!((report.requests, report.changed, report.skipped), (4, 3, 2));
    let group = &report.groups[0];
    assert_eq!((group.count, group.examples.len()), (2, 2));
    assert_eq!(group.before.to_string(), "all shop/v1");
    assert_eq!(group.after.to_string(), "beta shop/v1");
    assert_eq!(report.groups[1].after.to_string(), "query");
    assert!(super::table(&report).contains("3 of 4 requests change (75.00%)"));
    assert!(super::html(&report).contains("<td>all shop/v1<td>beta shop/v1"));
}

#[test]
fn colors_claims_cookies_and_buckets_come_back() {
    let text = format!(
        "{OLD}[colors.gold]\nwhen = [{{ jwt = {{ plan = \"gold\" }} }}]\nversions = {{ shop = \"v2\" }}\n\
         [colors.next]\nversions = {{ shop = \"v2\" }}\nshare = {{ percent = \"100%\" }}\n"
    );
    let with_colors = config(&text);
    for (line, after) in [
        (
            r#"{"method":"GET","path":"/","bucket":7}"#,
            "all [next] shop/v2",
        ),
        (
            r#"{"method":"GET","path":"/","claims":{"plan":"gold"}}"#,
            "all [gold] shop/v2",
        ),
        (
            r#"{"method":"GET","path":"/","trusted":true,"cookies":{"color":"canary"}}"#,
            "all [canary] shop/v2",
        ),
    ] {
        let report = run(&with_colors, None, &[line]);
        assert_eq!(report.groups[0].after.to_string(), after, "{line}");
    }
}

#[test]
fn without_an_old_side_the_log_itself_is_asked() {
    let same = config(OLD);
    let as_it_was = [
        r#"{"method":"GET","path":"/","route":"all","service":"shop","version":"v1"}"#,
        r#"{"method":"GET","path":"/","route":"all","reason":"rate_limited"}"#,
        r#"{"method":"GET","path":"/","trusted":true,"headers":{"x-tyrian-color":"canary"},"route":"all","service":"shop","version":"v1","color_requested":"canary","color_reason":"unhealthy"}"#,
    ];
    assert_eq!(run(&same, None, &as_it_was).changed, 0);
    let gone = [r#"{"method":"GET","path":"/","reason":"no_route"}"#];
    let report = run(&same, None, &gone);
    assert_eq!(
        report.groups[0].before.to_string(),
        "no route refused: no_route"
    );
    assert_eq!(report.groups[0].after.to_string(), "all shop/v1");
}
