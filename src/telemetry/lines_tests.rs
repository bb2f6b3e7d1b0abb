//! Lines of the access log, in each of their formats.

use super::Lines;
use crate::config::access_log::{AccessLog, Format, Piece};
use crate::config::field::Field;
use crate::config::hidden::is_hidden;
use crate::config::units::Percent;
use crate::telemetry::exchange::Exchange;
use crate::telemetry::exchange::tests::served;

fn line(config: &AccessLog, exchange: &Exchange) -> String {
    let mut out = Vec::new();
    Lines::new(config).write(&mut out, exchange);
    String::from_utf8(out).unwrap()
}

fn of(format: Format) -> AccessLog {
    AccessLog {
        format,
        ..AccessLog::default()
    }
}

#[test]
fn each_format_is_what_its_readers_expect() {
    let claims = [("jwt.sub".to_owned(), "ada".to_owned())];
    let seen = Exchange {
        claims: &claims,
        ..served()
    };
    insta::assert_snapshot!(line(&of(Format::Common), &seen), @r#"192.0.2.7 - ada [21/Nov/2026:10:00:00 +0000] "GET /cart/7 HTTP/1.1" 200 42"#);
    insta::assert_snapshot!(line(&of(Format::Combined), &seen), @r#"192.0.2.7 - ada [21/Nov/2026:10:00:00 +0000] "GET /cart/7 HTTP/1.1" 200 42 "-" "curl/8 \"x\"""#);
    insta::assert_snapshot!(line(&of(Format::Logfmt), &seen), @"time=2026-11-21T10:00:00Z status=200 method=GET host=a.example path=/cart/7 client=192.0.2.7 generation=0 route=cart jwt.sub=ada service=shop version=v2 tries=1 color_requested=canary color_served=canary request_id=r-1 bytes_in=0 bytes_out=42 duration_ms=12.345 upstream_ms=12.000");
    let template = AccessLog {
        template: vec![
            Piece::Field(Field::Method),
            Piece::Text(" ".into()),
            Piece::Field(Field::Path),
            Piece::Text(" → ".into()),
            Piece::Field(Field::Reason),
        ],
        ..of(Format::Template)
    };
    assert_eq!(line(&template, &seen), "GET /cart/7 → -\n");
}

#[test]
fn chosen_fields_come_in_their_order_and_named_parameters_are_masked() {
    let chosen = AccessLog {
        fields: vec![Field::Query, Field::Status],
        redact: vec!["page".to_owned()],
        ..of(Format::Json)
    };
    let text = line(&chosen, &served());
    assert_eq!(text, "{\"query\":\"page=***&token=***\",\"status\":200}\n");
    let logfmt = AccessLog {
        format: Format::Logfmt,
        ..chosen
    };
    assert_eq!(
        line(&logfmt, &served()),
        "query=\"page=***&token=***\" status=200\n"
    );
}

#[test]
fn a_referer_hides_what_a_query_hides() {
    let seen = Exchange {
        referer: "https://a.example/?token=hush&email=ada",
        ..served()
    };
    for format in [Format::Combined, Format::Json, Format::Logfmt] {
        let config = AccessLog {
            fields: vec![Field::Referer],
            redact: vec!["email".to_owned()],
            ..of(format)
        };
        let text = line(&config, &seen);
        let masked = "https://a.example/?token=***&email=***";
        assert!(text.contains(masked) && !text.contains("hush"), "{text}");
    }
}

#[test]
fn no_value_can_add_a_line() {
    let forged = Exchange {
        path: "/\n192.0.2.1 - - \"GET",
        user_agent: "a\r\nb\" \u{1b}[31m",
        referer: "\"\n?token=x",
        ..served()
    };
    for format in [
        Format::Json,
        Format::Common,
        Format::Combined,
        Format::Logfmt,
    ] {
        let text = line(&of(format), &forged);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text}");
    }
}

#[test]
fn what_is_not_seen_is_escaped_in_every_format() {
    const HIDDEN: &str = "a\u{85}b\u{2028}c\u{202e}d\u{2066}e\u{7f}f\u{9b}31mg\u{200b}h\u{e0041}";
    let claims = [("jwt.sub".to_owned(), HIDDEN.to_owned())];
    let forged = Exchange {
        claims: &claims,
        user_agent: HIDDEN,
        referer: HIDDEN,
        path: HIDDEN,
        ..served()
    };
    let template = AccessLog {
        template: vec![Piece::Field(Field::Claims), Piece::Field(Field::Path)],
        ..of(Format::Template)
    };
    let formats = [
        Format::Json,
        Format::Common,
        Format::Combined,
        Format::Logfmt,
    ];
    for config in formats.into_iter().map(of).chain([template]) {
        let text = line(&config, &forged);
        let hidden: Vec<char> = text
            .trim_end()
            .chars()
            .filter(|one| is_hidden(*one))
            .collect();
        assert!(hidden.is_empty(), "{hidden:?} in {text:?}");
        assert!(text.contains("a\\u0085b\\u2028c\\u202ed"), "{text}");
    }
}

#[test]
fn the_user_of_the_common_format_is_one_word() {
    for (who, wanted) in [
        ("ada", "ada"),
        ("", "-"),
        ("ada b", "ada_b"),
        ("ada\u{a0}b\u{3000}c", "ada_b_c"),
        ("ada\tb", "ada\\u0009b"),
    ] {
        let claims = [("jwt.sub".to_owned(), who.to_owned())];
        let seen = Exchange {
            claims: &claims,
            ..served()
        };
        for format in [Format::Common, Format::Combined] {
            let text = line(&of(format), &seen);
            assert_eq!(text.split(' ').nth(2), Some(wanted), "{text}");
        }
    }
}

#[test]
fn a_sample_keeps_what_went_wrong() {
    let none = Lines::new(&AccessLog {
        sample: Percent(0),
        ..AccessLog::default()
    });
    assert!(!none.wants(&served()));
    let refused = Exchange {
        reason: "rate_limited",
        status: 429,
        ..served()
    };
    let broken = Exchange {
        status: 502,
        ..served()
    };
    assert!(none.wants(&refused) && none.wants(&broken));
    let some = Lines::new(&AccessLog {
        sample: Percent(2_500),
        ..AccessLog::default()
    });
    let kept = (0..4_000).filter(|_| some.wants(&served())).count();
    assert!((700..1_300).contains(&kept), "{kept}");
}
