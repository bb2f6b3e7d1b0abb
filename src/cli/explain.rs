//! `tyrian explain`

mod files;

use super::client::{Target, parse};
use super::{Exit, Output, print, print_json, wants_color};
use crate::config::codes;
use crate::live;
use crate::question::{Question, Values};
use crate::reason::Reason;
use crate::routing::claims::Claims;
use crate::routing::explain::{Explanation, render};
use crate::state::Instance;
use files::{Files, Stated};
use serde_json::Value;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Say where a request would go, and why; or what an error code or a reason means.
///
/// With -c it asks a file, without it the running gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian explain -c tyrian.toml 'GET https://shop.example/cart/7' -H 'x-release-stage: canary'
  tyrian explain TY0101
  tyrian explain breaker_open")]
pub struct Args {
    /// `METHOD URL`, a URL, an error code, or the reason of a refusal
    #[arg(value_name = "REQUEST|CODE|REASON")]
    what: String,
    /// A header field, as `name: value`
    #[arg(
        short = 'H',
        long = "header",
        value_name = "FIELD",
        allow_hyphen_values = true
    )]
    headers: Vec<String>,
    /// A claim of its verified token; repeated, also for one of several values
    #[arg(long = "claim", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    claims: Vec<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Ask this file instead of the running gateway
    #[arg(short = 'c', long = "config", alias = "file", value_name = "PATH")]
    file: Option<PathBuf>,
    #[command(flatten)]
    stated: Stated,
    /// Address of the admin API [default: $TYRIAN_ADMIN, else the usual one]
    #[arg(long, value_name = "URL", env = "TYRIAN_ADMIN", hide_env = true)]
    admin: Option<String>,
    /// File with its token [default: $TYRIAN_ADMIN_TOKEN_FILE, else by --state]
    #[arg(
        long,
        value_name = "FILE",
        env = "TYRIAN_ADMIN_TOKEN_FILE",
        hide_env = true
    )]
    token_file: Option<PathBuf>,
    /// State directory of the gateway, which has the token
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Name of its folder there [default: $TYRIAN_INSTANCE, else by the API's address]
    #[arg(long, value_name = "NAME", env = "TYRIAN_INSTANCE", hide_env = true)]
    instance: Option<Instance>,
}

pub fn run(args: &Args) -> Exit {
    let digits = args
        .what
        .get(2..)
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    if digits && args.what.to_ascii_uppercase().starts_with("TY") {
        return code(&args.what);
    }
    if is_word(&args.what) {
        return reason(&args.what);
    }
    let question = match question(args) {
        Ok(question) => question,
        Err(problem) => {
            eprintln!("error: {problem}");
            return Exit::Usage;
        }
    };
    match &args.file {
        Some(file) => ask_file(args, file, &question),
        None => ask_live(args, &question),
    }
}

fn code(code: &str) -> Exit {
    let Some(text) = codes::explain(code) else {
        eprintln!("error: there is no code {code}; codes are TY0001 to TY0901");
        return Exit::Failed;
    };
    print(&text);
    Exit::Ok
}

/// Whether this is a bare word, as reasons are, and no request is.
fn is_word(what: &str) -> bool {
    !what.is_empty()
        && what
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn reason(word: &str) -> Exit {
    if let Some(reason) = Reason::named(word) {
        print(&reason.explanation());
        return Exit::Ok;
    }
    let names = Reason::ALL.iter().map(|reason| reason.name());
    let near = names.min_by_key(|name| strsim::damerau_levenshtein(name, word));
    let near = near.unwrap_or_default();
    eprintln!("error: `{word}` is no request, code or reason; did you mean `{near}`?");
    Exit::Failed
}

fn question(args: &Args) -> Result<Question, String> {
    let (method, url) = match args.what.trim().split_once(' ') {
        Some((method, url)) => (Some(method.to_owned()), url.trim().to_owned()),
        None => (None, args.what.clone()),
    };
    let mut question = Question {
        method,
        url,
        from: args.from,
        ..Question::default()
    };
    question.claims = claims(&args.claims)?;
    for field in &args.headers {
        let (name, value) = field
            .split_once(':')
            .ok_or_else(|| format!("`{field}` is not `name: value`"))?;
        let value = value.trim().to_owned();
        let many = question
            .headers
            .entry(name.trim().to_owned())
            .or_insert(Values::Many(Vec::new()));
        if let Values::Many(values) = many {
            values.push(value);
        }
    }
    Ok(question)
}

/// The claims of a token; a name that is repeated has a list of values, and an empty text stands
/// for a token without claims. `None`: there is no token.
fn claims(words: &[String]) -> Result<Option<Claims>, String> {
    let mut claims = (!words.is_empty()).then(Claims::new);
    for word in words.iter().filter(|word| !word.is_empty()) {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("`{word}` is not `name=value`"))?;
        let claims = claims.get_or_insert_default();
        let value = match claims.remove(name) {
            None => Value::from(value),
            Some(Value::Array(mut values)) => {
                values.push(value.into());
                values.into()
            }
            Some(first) => Value::from(vec![first, value.into()]),
        };
        claims.insert(name.to_owned(), value);
    }
    Ok(claims)
}

/// Asks the file. Its tests may fail, which is what one wants to understand, and its certificates
/// may be elsewhere: they decide nothing.
fn ask_file(args: &Args, file: &Path, question: &Question) -> Exit {
    let loaded = crate::config::load(file, &crate::config::environment);
    let (loaded, table) = match live::decides(loaded) {
        Ok(decides) => decides,
        Err(loaded) => {
            eprint!("{}", loaded.render_human(wants_color(&std::io::stderr())));
            return Exit::InvalidConfig;
        }
    };
    let Some(config) = &loaded.config else {
        return Exit::InvalidConfig;
    };
    let Some(files) = Files::of(config, &args.stated) else {
        eprintln!("error: `down` and `open` take SERVICE/VERSION of the file");
        return Exit::Usage;
    };
    match question.ask(&table, config, &files) {
        Ok(explanation) => {
            show(args, &explanation);
            Exit::Ok
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            Exit::Failed
        }
    }
}

fn show(args: &Args, explanation: &Explanation) {
    match args.output {
        Output::Json => print_json(&serde_json::to_value(explanation).unwrap_or_default()),
        Output::Table => print(&render(explanation, wants_color(&std::io::stdout()))),
    }
}

fn ask_live(args: &Args, question: &Question) -> Exit {
    let (admin, token) = (args.admin.clone(), args.token_file.clone());
    let (state, instance) = (args.state.clone(), args.instance.clone());
    let target = Target::new(admin, token, state, instance);
    let body = serde_json::to_value(question).unwrap_or_default();
    let answer = target.client().post("/v1/explain", &body);
    let answer = answer.and_then(|(status, text)| parse(status, &text));
    match answer {
        Ok(value) => match serde_json::from_value::<Explanation>(value.clone()) {
            Ok(explanation) if args.output == Output::Table => {
                show(args, &explanation);
                Exit::Ok
            }
            _ => {
                print_json(&value);
                Exit::Ok
            }
        },
        Err(failure) => failure.tell(),
    }
}
