//! `tyrian dev-cert`

use super::{Exit, print};
use crate::live::write_private;
use crate::tls::dev::{Authority, Pair, Role};
use std::path::{Path, PathBuf};

/// Make a certificate authority of your own and a certificate signed by it, for trying TLS out.
/// An authority that is there already signs again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian dev-cert
  tyrian dev-cert --out tls api.example.test '*.example.test' --client spiffe://example.test/ci")]
pub struct Args {
    /// Names of the server: DNS names, wildcards, IP addresses
    #[arg(value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<String>,
    /// Directory to write into
    #[arg(long, value_name = "DIR", default_value = "tls")]
    out: PathBuf,
    /// Also make a client's certificate for this name or URI
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
}

pub fn run(args: &Args) -> Exit {
    match make(args) {
        Ok(told) => {
            print(&told);
            Exit::Ok
        }
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    }
}

fn make(args: &Args) -> Result<String, Box<dyn std::error::Error>> {
    let out = &args.out;
    std::fs::create_dir_all(out)?;
    let (ca, ca_key) = (out.join("ca.pem"), out.join("ca.key"));
    let authority = match (
        std::fs::read_to_string(&ca),
        std::fs::read_to_string(&ca_key),
    ) {
        (Ok(certificate), Ok(key)) => Authority::from_pem(&certificate, &key)?,
        _ => {
            let authority = Authority::new()?;
            std::fs::write(&ca, &authority.certificate)?;
            write_private(&ca_key, authority.key.as_bytes())?;
            authority
        }
    };
    write(out, "server", &authority.sign(&args.names, Role::Server)?)?;
    let mut told = format!(
        "{out}/ca.pem      the authority: tell clients to believe it\n\
         {out}/server.pem  for {names}\n\n\
         [listeners.tls]\n\
         bind = \":8443\"\n\
         tls  = {{ certs = [{{ chain = \"{out}/server.pem\", key = {{ file = \"{out}/server.key\" }} }}] }}\n\n\
         curl --cacert {out}/ca.pem https://{first}:8443/\n",
        out = out.display(),
        names = args.names.join(", "),
        first = args.names.first().map_or("localhost", |name| name),
    );
    if let Some(name) = &args.client {
        let client = authority.sign(std::slice::from_ref(name), Role::Client)?;
        write(out, "client", &client)?;
        told.push_str(&format!(
            "curl --cacert {out}/ca.pem --cert {out}/client.pem --key {out}/client.key https://…  # {name}\n",
            out = out.display(),
        ));
    }
    Ok(told)
}

fn write(out: &Path, name: &str, pair: &Pair) -> std::io::Result<()> {
    std::fs::write(out.join(format!("{name}.pem")), &pair.certificate)?;
    write_private(&out.join(format!("{name}.key")), pair.key.as_bytes())
}
