//! Whether a guess is right changes nothing in what the API says: values of variables stay secret.

use crate::gateway::Gateway;
use serde_json::{Value, json};

/// The value to find out, and what begins as it does and does not.
const SECRET: &str = "s3cr-Tz9";
const GUESSES: [&str; 4] = ["s3", "q3", "s3cr-Tz9", "s3cr-Tz8"];
/// The token that may only look.
const READER: &str = "reader-token-0123456789";
/// Another secret, of a length that all keys take.
const KEY: &str = "key-0123456789-0123456789-0123456789";

const LIVE: &str = r#"[listeners.web]
bind = "127.0.0.1:${PORT}"

[admin]
bind = "127.0.0.1:0"
metrics = "127.0.0.1:0"
read_token = { env = "READER" }

[coloring]
keys = { k1 = { env = "KEY" } }

[plugins.p]
use = "headers"
config = { request = { set = { x-internal-token = "${SEC}" } } }

[services.s.versions.v1]
endpoints = ["127.0.0.1:${UP}"]

[routes.all]
match = { path = "/*" }
service = "s"
plugins = ["p"]
"#;

fn start(live: &str) -> Gateway {
    Gateway::start_with(live, |command| {
        command.env("SEC", SECRET).env("READER", READER);
        command.env("KEY", KEY).env("PORT", "0").env("UP", "9");
    })
}

/// What the check says to the token that may only look, or to the other one.
fn check(gateway: &Gateway, reads: bool, text: &str) -> Value {
    let token = if reads { READER } else { &gateway.token() };
    let body = json!({ "text": text }).to_string();
    let path = "/v1/config/check?verdict&replay=recent";
    let (status, verdict) = gateway.api_as(token, "POST", path, &body);
    assert_eq!(status, 200, "{verdict}");
    verdict
}

fn has(verdict: &Value, code: &str) -> bool {
    let mut found = verdict["diagnostics"].as_array().unwrap().iter();
    found.any(|one| one["code"] == code)
}

/// What the check says of a text with `GUESS` in it is the same for each guess, but for the guess.
fn tells_nothing(gateway: &Gateway, reads: bool, text: &str) -> Value {
    let answers = GUESSES.map(|guess| check(gateway, reads, &text.replace("GUESS", guess)));
    let plain = |verdict: &Value, guess: &str| {
        let codes = verdict["diagnostics"].as_array().into_iter().flatten();
        let codes: Vec<_> = codes
            .map(|one| {
                (
                    one["code"].clone(),
                    one["message"].to_string().replace(guess, "_"),
                )
            })
            .collect();
        let changes = verdict["changes"].to_string().replace(guess, "_");
        (verdict["outcome"].clone(), codes, changes)
    };
    let [first, ..] = &answers;
    for (answer, guess) in answers.iter().zip(GUESSES) {
        let (one, other) = (plain(answer, guess), plain(first, GUESSES[0]));
        assert_eq!(one, other, "{text}\n{answer:#}");
        let said = answer.to_string().replace(guess, "_");
        assert!(!said.contains(SECRET), "{said}");
    }
    first.clone()
}

#[test]
fn a_variable_stands_nowhere_but_where_the_live_configuration_has_it() {
    let gateway = start(LIVE);
    let elsewhere = [
        "[colors.a]\nwhen = [{ header = { a = { prefix = \"GUESS\" } } }]\n\
         [colors.b]\nwhen = [{ header = { a = \"${SEC}\" } }]\n",
        "[routes.x]\nmatch = { path = { regex = \"/zz/${SEC}\" } }\nservice = \"s\"\npriority = 5\n\
         [[tests]]\nrequest = \"GET http://h/zz/GUESS\"\nexpect = { route = \"x\" }\n",
        "[routes.x]\nmatch = { path = { regex = \"/zz/[${SEC}]\" } }\nservice = \"s\"\n\
         [[tests]]\nrequest = \"GET http://h/zz/GUESS\"\nexpect = { route = \"x\" }\n",
        "[routes.x]\nmatch = { path = \"/zz\", headers = { a = \"${SEC}\" } }\nservice = \"s\"\n\
         [routes.y]\nmatch = { path = \"/zz\", headers = { a = { prefix = \"GUESS\" } } }\n\
         service = \"s\"\n",
        "[routes.x]\nmatch = { path = \"/zz\" }\nservice = \"${SEC}\"\n# GUESS\n",
        "[plugins.q]\nuse = \"headers\"\n\
         config = { request = { set = { x-internal-token = \"${SEC}\", a = \"GUESS\" } } }\n",
    ];
    for reads in [true, false] {
        for more in elsewhere {
            let verdict = tells_nothing(&gateway, reads, &format!("{LIVE}{more}"));
            assert!(has(&verdict, "TY0508"), "{more}\n{verdict:#}");
        }
        for form in [
            "${SEC:-x}",
            "a${SEC}",
            "${SEC}${SEC}",
            "${SEC:+x}",
            "${SEC-GUESS}",
        ] {
            let verdict = check(&gateway, reads, &LIVE.replace("${SEC}", form));
            assert!(has(&verdict, "TY0508"), "{form}\n{verdict:#}");
        }
    }
}

#[test]
fn a_secret_is_read_at_no_other_key() {
    let gateway = start(LIVE);
    for reads in [true, false] {
        for more in [
            LIVE.replace("keys = { k1", "keys = { k2"),
            LIVE.replace("env = \"READER\"", "env = \"KEY\""),
            LIVE.replace("env = \"KEY\"", "env = \"READER\""),
            format!(
                "{LIVE}[jwt.j]\nissuer = \"i\"\nalgorithms = [\"HS256\"]\n\
                 keys = {{ hmac = {{ env = \"KEY\" }} }}\n"
            ),
        ] {
            let verdict = check(&gateway, reads, &more);
            assert!(has(&verdict, "TY0508"), "{more}\n{verdict:#}");
        }
    }
}

#[test]
fn the_token_that_may_only_look_checks_texts_with_variables() {
    let gateway = start(LIVE);
    for reads in [true, false] {
        let verdict = check(&gateway, reads, LIVE);
        assert_eq!(verdict["outcome"], "acceptable", "{verdict:#}");
        assert_eq!(verdict["changes"], json!([]), "{verdict:#}");
        let more = "[routes.more]\nmatch = { path = \"/more\" }\nrespond = { status = 204 }\n\
                    [[tests]]\nrequest = \"GET http://h/more\"\nexpect = { route = \"ROUTE\" }\n";
        let verdict = check(
            &gateway,
            reads,
            &format!("{LIVE}{more}").replace("ROUTE", "more"),
        );
        assert_eq!(verdict["outcome"], "acceptable", "{verdict:#}");
        let verdict = check(
            &gateway,
            reads,
            &format!("{LIVE}{more}").replace("ROUTE", "all"),
        );
        assert_eq!(verdict["outcome"], "rejected", "{verdict:#}");
    }
}

#[test]
fn what_a_text_says_about_a_live_variable_tells_a_reader_nothing() {
    // A literal in the place of the variable is a change, whatever the value.
    let gateway = start(LIVE);
    for reads in [true, false] {
        let verdict = tells_nothing(&gateway, reads, &LIVE.replace("${SEC}", "GUESS"));
        assert_eq!(
            verdict["changes"].as_array().unwrap().len(),
            1,
            "{verdict:#}"
        );
    }
    tells_nothing(
        &gateway,
        true,
        &format!("{LIVE}[routes.x]\nservice = \"GUESS\"\n"),
    );
    let live = format!(
        "{LIVE}[colors.b]\nwhen = [{{ header = {{ a = \"${{SEC}}\" }} }}]\n\
         [routes.r]\nmatch = {{ path = {{ regex = \"/zz/${{SEC}}\" }} }}\npriority = 5\n\
         service = \"s\"\n"
    );
    let gateway = start(&live);
    let lint = "[colors.a]\nwhen = [{ header = { a = { prefix = \"GUESS\" } } }]\n";
    let test = "[[tests]]\nrequest = \"GET http://h/zz/GUESS\"\nexpect = { route = \"r\" }\n";
    for more in [lint, test] {
        let verdict = tells_nothing(&gateway, true, &format!("{live}{more}"));
        assert!(has(&verdict, "TY0508"), "{verdict:#}");
    }
    // The token that may put a text to work has the full check.
    let lint = format!("{live}{lint}");
    assert!(has(
        &check(&gateway, false, &lint.replace("GUESS", "s3")),
        "TY0318"
    ));
    assert!(!has(
        &check(&gateway, false, &lint.replace("GUESS", "q3")),
        "TY0318"
    ));
    let text = format!("{live}{test}").replace("GUESS", SECRET);
    assert_eq!(check(&gateway, false, &text)["outcome"], "acceptable");
    let text = format!("{live}{test}").replace("GUESS", "other");
    assert_eq!(check(&gateway, false, &text)["outcome"], "rejected");
}
