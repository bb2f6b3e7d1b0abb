//! What is on the screen, letter by letter.

use super::super::model::Model;
use super::{draw, table};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

fn frame(rate: f64) -> Value {
    let row = |route: &str, service: &str, version: &str, color: &str, share: f64, errors: f64| {
        json!({
            "route": route, "service": service, "version": version, "color": color,
            "rps": rate * share, "errors": errors, "refused": 0.0, "p50_ms": 11.2, "p99_ms": 24.9,
            "window": { "rps": rate * share, "errors": errors, "refused": 0.5, "p50_ms": 0.41, "p99_ms": 1240.0 },
        })
    };
    json!({
        "generation": 7, "active": 4, "connections": 12, "window_s": 60,
        "total": { "rps": rate, "errors": 2.0, "refused": 9.0, "p50_ms": 11.0, "p99_ms": 43.6,
                   "window": { "rps": rate } },
        "overhead": { "p50_us": 185.0, "p99_us": 900.0 },
        "rows": [row("cart", "shop", "v1", "", 0.7, 0.0), row("cart", "shop", "v2", "canary", 0.2, 2.0),
                 row("", "", "", "", 0.01, 0.0)],
        "refusals": { "rate_limited": 8.0, "jwt_missing": 6.5 },
        "breakers": [{ "service": "search", "version": "v1", "state": "open", "held": false, "retry_in_ms": 8200 }],
        "events": [{ "kind": "applied", "generation": 7, "changes": 3 }],
    })
}

fn model() -> Model {
    let colors = json!({ "colors": [{ "name": "canary", "hex": "#22c55e" }] });
    let mut model = Model::new(&colors);
    for rate in [100.0, 180.0, 229.0, 120.0] {
        model.take(&frame(rate));
    }
    model
}

fn screen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, frame)).unwrap();
    terminal.backend().to_string()
}

fn press(model: &mut Model, keys: &str) {
    for letter in keys.chars() {
        let code = match letter {
            '\n' => KeyCode::Enter,
            letter => KeyCode::Char(letter),
        };
        assert!(
            model
                .press(KeyEvent::new(code, KeyModifiers::NONE))
                .is_continue()
        );
    }
}

#[test]
fn the_table_shows_who_gets_what() {
    insta::assert_snapshot!(screen(&model(), 120, 14));
}

#[test]
fn an_event_of_a_rollout_is_named_with_its_shares_and_reason() {
    let mut model = model();
    let mut told = frame(120.0);
    told["events"] = json!([{
        "kind": "rollout", "color": "next", "what": "aborted", "from": "25%", "to": "0%",
        "reason": "7% of its requests failed", "generation": 7,
    }]);
    model.take(&told);
    let words = "rollout next aborted: 25% to 0%, 7% of its requests failed";
    assert!(screen(&model, 120, 14).contains(words));
}

#[test]
fn a_narrow_terminal_keeps_what_matters() {
    insta::assert_snapshot!(screen(&model(), 80, 12));
}

#[test]
fn enter_shows_a_row_in_full() {
    let mut model = model();
    press(&mut model, "j\n");
    insta::assert_snapshot!(screen(&model, 100, 18));
}

#[test]
fn keys_filter_sort_pause_and_quit() {
    let mut model = model();
    press(&mut model, "/canary\n");
    assert_eq!(model.rows().len(), 1);
    press(&mut model, "s");
    assert_eq!(model.sort.name(), "errors");
    press(&mut model, "p");
    model.take(&frame(9_999.0));
    assert!(model.frame.total.rps < 9_999.0, "paused");
    let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
    assert!(model.press(escape).is_continue());
    assert_eq!(model.rows().len(), 3);
    let quit = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    assert!(model.press(quit).is_break());
}

#[test]
fn nothing_to_show_is_said_and_no_size_breaks_it() {
    let empty = Model::new(&Value::Null);
    assert!(screen(&empty, 80, 10).contains("within a second"));
    for (width, height) in [(1, 1), (20, 3), (300, 80)] {
        let mut model = model();
        model.detail = true;
        screen(&model, width, height);
    }
    insta::assert_snapshot!(table(&model()));
}
