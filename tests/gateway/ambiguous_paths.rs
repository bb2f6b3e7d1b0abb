//! A path that another parser may read as one of a guarded route does not take an open one.

use crate::gateway::{Gateway, listeners, tyrian};
use crate::upstream::Upstream;
use tempfile::TempDir;

const KEYS: &str = "ops:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n"; // of `secret`

/// `/admin/*` wants a key, `/hide/*` is refused, everything else is open.
fn start(server: &str, open: &str, upstream: &Upstream) -> (Gateway, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    std::fs::write(&file, KEYS).unwrap();
    let gateway = Gateway::start(&format!(
        "{}[server]\n{server}\n[api_keys.ops]\nfile = \"{}\"\n\
         [services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n{open}\n\
         [routes.admin]\nmatch = {{ path = \"/admin/*\" }}\nservice = \"app\"\nauth = \"ops\"\n\
         [routes.hide]\nmatch = {{ path = \"/hide/*\" }}\nrespond = {{ status = 403, text = \"no\\n\" }}\n",
        listeners(""),
        file.display(),
        upstream.address
    ));
    (gateway, dir)
}

const AMBIGUOUS: [&str; 12] = [
    "/admin%2Fx",
    "/admin%2fx",
    "/admin%5Cx",
    "/%5cadmin/x",
    "/admin;x",
    "/admin;/x",
    "/admin%3Bx",
    "/admin%252Fx",
    "/admin%25252Fx",
    "/%2561dmin/x",
    "/;v=1/admin/x",
    "/hide%2Fx",
];

#[test]
fn a_path_with_another_reading_of_other_policies_is_refused() {
    let upstream = Upstream::start("v1");
    let (mut gateway, _keys) = start("", "", &upstream);
    for path in AMBIGUOUS {
        let answer = gateway.get(path, "");
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (400, "bad_request"),
            "{path}"
        );
        assert!(!answer.text().contains("admin"), "{}", answer.text());
    }
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
    let line = gateway.logged(|line| line["path"] == "/admin%2Fx");
    assert_eq!(
        line["detail"],
        "the path may be read as `/admin/x`, which is of route `admin`"
    );
    assert_eq!(gateway.get("/admin/x", "").status, 401);
    assert_eq!(gateway.get("/admin/x%2Fy", "").status, 401);
}

#[test]
fn where_both_readings_meet_the_same_route_nothing_changes() {
    let upstream = Upstream::start("v1");
    let (gateway, _keys) = start("", "", &upstream);
    for path in [
        "/api/v4/projects/group%2Fproject",
        "/shop;jsessionid=1/cart",
        "/files/a%5Cb",
        "/100%25",
        "/a%20b",
        "/administration%2Fx",
    ] {
        assert_eq!(gateway.get(path, "").status, 200, "{path}");
        assert!(upstream.last_head().starts_with(&format!("GET {path} ")));
    }
    let key = "X-Api-Key: secret\r\n";
    assert_eq!(gateway.get("/admin/a%2Fb;c", key).status, 200);
}

#[test]
fn a_route_or_the_server_may_let_such_paths_pass() {
    let upstream = Upstream::start("v1");
    let allow = "ambiguous_paths = \"allow\"";
    for (server, open) in [(allow, ""), ("", allow)] {
        let (gateway, _keys) = start(server, open, &upstream);
        assert_eq!(gateway.get("/admin%2Fx", "").status, 200, "{server} {open}");
    }
    let (gateway, _keys) = start(allow, "ambiguous_paths = \"refuse\"", &upstream);
    assert_eq!(gateway.get("/admin%2Fx", "").status, 400);
}

#[test]
fn check_and_explain_show_both_readings() {
    let upstream = Upstream::start("v1");
    let (gateway, _keys) = start("", "", &upstream);
    let (status, explained) = gateway.api(
        "POST",
        "/v1/explain",
        r#"{"url": "http://a.example/admin%2Fx"}"#,
    );
    assert_eq!(status, 200);
    assert_eq!(explained["refusal"]["reason"], "bad_request");
    assert_eq!(explained["other_reading"]["path"], "/admin/x");
    assert_eq!(explained["other_reading"]["route"], "admin");
    assert_eq!(explained["other_reading"]["allowed"], false);
    let config = gateway.config_file();
    let said = |arguments: &[&str]| {
        let output = tyrian().args(arguments).arg(&config).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let explained = said(&["explain", "GET http://a.example/admin%2Fx", "-c"]);
    assert!(
        explained.contains("/admin/x by other parsers"),
        "{explained}"
    );
}
