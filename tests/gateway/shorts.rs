//! Short values of variables are shown in no diagnostic.

use crate::gateway::tyrian;

/// Places whose diagnostics quote what is written there, or what it decides.
const PLACES: [&str; 17] = [
    "[routes.x]\nmatch = { path = \"V\" }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { path = \"/V/*/x\" }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { path = \"/x\" }\nservice = \"V\"\n",
    "[routes.x]\nmatch = { path = { regex = \"(V\" } }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { path = { regex = \"V[z-a]\" } }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { host = \"-V-\" }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { host = \"V\", path = \"/dead\" }\nservice = \"s\"\n\
     [routes.y]\nmatch = { host = \"V\", path = \"/dead\" }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { path = \"/x\", headers = { a = \"bVc\" } }\nservice = \"s\"\n\
     [routes.y]\nmatch = { path = \"/x\", headers = { a = \"bVc\" } }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { path = \"/x/*\" }\nservice = \"s\"\n\
     rewrite = { replace_prefix = \"/V\" }\n\
     [[tests]]\nrequest = \"GET http://h/x/y\"\nexpect = { upstream_path = \"/n\" }\n",
    "[routes.x]\nmatch = { path = \"/x\", methods = [\"V\"] }\nservice = \"s\"\n",
    "[routes.x]\nmatch = { path = \"/x\" }\nredirect = { to = \"V\" }\n",
    "[services.z.versions.v]\nendpoints = [\"V\"]\n",
    "[services.z]\nbalance = \"V\"\n",
    "[limits.z]\nrate = \"V\"\n",
    "[listeners.q]\nbind = \"V\"\n",
    "[colors.c]\nwhen = [{ header = { a = \"V\" } }]\n\
     [colors.d]\nwhen = [{ header = { a = \"V\" } }]\n",
    "[telemetry]\naccess_log = { format = \"{V}\" }\n",
];

#[test]
fn short_values_are_shown_in_no_diagnostic() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.toml");
    for place in PLACES {
        for form in ["human", "json"] {
            let text = place.replace('V', "${SH}");
            let base = "[services.s.versions.v1]\nendpoints = [\"127.0.0.1:9\"]\n";
            std::fs::write(&file, format!("{base}{text}")).unwrap();
            for value in ["zq9", "73914"] {
                let mut check = tyrian();
                let check = check.env("SH", value).args(["check", "--format", form]);
                let output = check.arg(&file).output().unwrap();
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8(said).unwrap();
                assert!(said.contains("TY0"), "{text}\n{said}");
                assert!(!said.contains(value), "{value}\n{text}\n{said}");
            }
        }
    }
}
