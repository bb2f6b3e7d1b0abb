//! `tyrian top`: what the gateway does, live, over its admin API.

mod model;
mod view;

use super::client::{Client, Failure, Target};
use super::{Exit, Output, print, print_json};
use model::{Link, Model};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long keys are waited for before the next frame is drawn.
const TICK: Duration = Duration::from_millis(100);
/// Before a lost connection is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Watch rates, errors and latencies by route, version and color.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian top
  tyrian top --once -o json")]
pub struct Args {
    /// Print one frame and end
    #[arg(long)]
    once: bool,
    /// With --once
    #[arg(short, long, value_enum, default_value = "table", requires = "once")]
    output: Output,
    #[command(flatten)]
    target: Target,
}

/// What the reader of the stream tells.
enum News {
    Frame(Value),
    Lost(String),
}

pub fn run(args: &Args) -> Exit {
    let is_shown = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !args.once && !is_shown {
        eprintln!("error: this needs a terminal; `tyrian top --once` prints one frame");
        return Exit::Usage;
    }
    let client = args.target.client();
    let colors = match client.get_json("/v1/colors") {
        Ok(colors) => colors,
        Err(failure) => return failure.tell(),
    };
    if args.once {
        return once(&client, args.output);
    }
    let (sender, news) = channel();
    // It ends with the process.
    std::thread::spawn(move || follow(&client, &sender));
    let mut model = Model::new(&colors);
    let shown = ratatui::try_init().and_then(|mut terminal| show(&mut terminal, &mut model, &news));
    ratatui::restore();
    match shown {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("error: the terminal: {error}");
            Exit::Failed
        }
    }
}

/// The next full frame, on standard output.
fn once(client: &Client, output: Output) -> Exit {
    let mut model = Model::new(&Value::Null);
    let ended = client.follow("/v1/stream", |event, data| {
        if event != "frame" {
            return ControlFlow::Continue(());
        }
        match output {
            Output::Json => print_json(&data),
            Output::Table => {
                model.take(&data);
                print(&view::table(&model));
            }
        }
        ControlFlow::Break(())
    });
    ended.map_or_else(|failure: Failure| failure.tell(), |()| Exit::Ok)
}

/// Reads the stream, and begins anew when it breaks off.
fn follow(client: &Client, news: &Sender<News>) {
    loop {
        let ended = client.follow("/v1/stream", |event, data| {
            let told = match event {
                "frame" => news.send(News::Frame(data)),
                _ => Ok(()),
            };
            match told {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        let why = ended.map_or_else(|failure| failure.message, |()| String::new());
        if news.send(News::Lost(why)).is_err() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    model: &mut Model,
    news: &Receiver<News>,
) -> io::Result<()> {
    loop {
        for told in news.try_iter() {
            match told {
                News::Frame(frame) => model.take(&frame),
                News::Lost(why) => model.link = Link::Down(why),
            }
        }
        terminal.draw(|frame| view::draw(model, frame))?;
        if !event::poll(TICK)? {
            continue;
        }
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && model.press(key).is_break()
        {
            return Ok(());
        }
    }
}
