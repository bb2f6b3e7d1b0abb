//! `tyrian color`

use super::{Exit, find_config, print, wants_color};
use crate::config::Config;
use crate::config::jwt::Jwt;
use crate::config::units::duration;
use crate::live::{self, Source};
use crate::policy::jwt::color;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Sign colors, to let people in from outside.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian color sign canary --for 8h
  tyrian color sign canary --for 15m --key k2 -c tyrian.toml
  tyrian color sign canary --jwt corp --private-key corp.pem")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print a token that brings a color: a value for the color's header, cookie or query key
    Sign {
        color: String,
        /// How long it is good
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        within: String,
        /// Which of `coloring.keys` signs; with --jwt, the id of the provider's key
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        /// Sign as this provider, one of `coloring.signers`
        #[arg(long, value_name = "NAME")]
        jwt: Option<String>,
        /// The provider's private key in PEM
        #[arg(long, value_name = "FILE", requires = "jwt")]
        private_key: Option<PathBuf>,
        /// The configuration that names the keys
        #[arg(short, long, value_name = "PATH")]
        config: Option<PathBuf>,
    },
}

pub fn run(args: &Args) -> Exit {
    let What::Sign {
        color,
        within,
        key,
        jwt,
        private_key,
        config,
    } = &args.what;
    let usage = |why: String| {
        eprintln!("error: {why}");
        Exit::Usage
    };
    let Some(path) = find_config(config.clone()) else {
        return usage("no configuration found; name one".to_owned());
    };
    let place = path.display().to_string();
    let (loaded, table, _) = match live::check(&Source::Path(path)) {
        Ok(checked) => checked,
        Err(loaded) => {
            eprint!("{}", loaded.render_human(wants_color(&std::io::stderr())));
            return Exit::InvalidConfig;
        }
    };
    let config = loaded.config.as_ref();
    let Some(config) = config.filter(|config| config.colors.contains_key(color.as_str())) else {
        return usage(format!(
            "there is no color `{color}` in {place}; -c names another file"
        ));
    };
    let Some(within) = duration(within) else {
        return usage(format!("`{within}` is no time, such as 8h"));
    };
    if within.as_secs() == 0 {
        return usage("a token that is good for less than a second is good for nothing".to_owned());
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (expires, key) = ((now + within).as_secs(), key.as_deref());
    let signed = match jwt {
        Some(name) => by_provider(config, name, private_key.as_deref(), |jwt, pem| {
            color::sign(jwt, pem, key, color, expires)
        }),
        None => table.sign(color, expires, key).ok_or_else(|| match key {
            Some(key) => format!("`coloring.keys` in {place} has no key `{key}`"),
            None => format!("`coloring.keys` in {place} has no key; -c names another file"),
        }),
    };
    match signed {
        Ok(token) => {
            print(&(token + "\n"));
            Exit::Ok
        }
        Err(why) => usage(why),
    }
}

/// With the key of a provider whose signature is believed.
fn by_provider(
    config: &Config,
    name: &str,
    private_key: Option<&Path>,
    sign: impl FnOnce(&Jwt, Option<&[u8]>) -> Result<String, String>,
) -> Result<String, String> {
    let mut signers = config.coloring.signers.iter();
    let jwt = config.jwt.get(name);
    let jwt = jwt.filter(|_| signers.any(|signer| signer.0 == name));
    let jwt = jwt.ok_or_else(|| format!("`coloring.signers` does not name `{name}`"))?;
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let pem = private_key.map(read).transpose()?;
    sign(jwt, pem.as_deref())
}
