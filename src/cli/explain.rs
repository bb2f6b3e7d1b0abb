//! `tyrian explain`

use super::client::{Target, parse};
use super::{Exit, Output, print, print_json, wants_color};
use crate::config::codes;
use crate::live;
use crate::question::{Question, Values};
use crate::routing::explain::{Explanation, render};
use crate::routing::selftest::AllHealthy;
use crate::state::Instance;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Say where a request would go, and why; or what an error code means.
///
/// With -c it asks a file, without it the running gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian explain -c tyrian.toml 'GET https://shop.example/cart/7' -H 'x-release-stage: canary'
  tyrian explain TY0101")]
pub struct Args {
    /// `METHOD URL`, a URL, or an error code
    #[arg(value_name = "REQUEST|CODE")]
    what: String,
    /// A header field, as `name: value`
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// A claim of its verified token; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Ask this file instead of the running gateway
    #[arg(short = 'c', long = "config", alias = "file", value_name = "PATH")]
    file: Option<PathBuf>,
    /// Address of the admin API
    #[arg(long, value_name = "URL", env = "TYRIAN_ADMIN")]
    admin: Option<String>,
    /// File with the token of the admin API
    #[arg(long, value_name = "FILE", env = "TYRIAN_ADMIN_TOKEN_FILE")]
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
    for claim in &args.claims {
        let (name, value) = claim
            .split_once('=')
            .ok_or_else(|| format!("`{claim}` is not `name=value`"))?;
        let claims = question.claims.get_or_insert_default();
        claims.insert(name.to_owned(), value.into());
    }
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
    match question.ask(&table, config, &AllHealthy::of(config), |_| None) {
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
