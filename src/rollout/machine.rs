//! The steps of a rollout: a state, what happens to it, and what follows. No clock, no sockets.

use super::judge::{Finding, Verdict};
use super::{Moment, Numbers, Sides};
use crate::config::rollout::{OnBreach, Rollout};
use crate::config::units::Percent;
use crate::counts::label_values;
use serde::{Deserialize, Serialize};

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Never started.
    #[default]
    Idle,
    Running,
    /// By hand, or by a breach that asks for it.
    Paused,
    /// At its last step, whose window was sound.
    Done,
    /// Back at zero.
    Aborted,
}

/// What an operator may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    Start,
    Pause,
    Resume,
    /// The next step, now.
    Promote,
    /// Share to zero.
    Abort,
}

/// All that is remembered of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct State {
    pub phase: Phase,
    /// The share it wants; with `dry_run`, would want.
    pub share: Percent,
    /// When this step or phase began.
    pub since: Moment,
    /// Why it is where it is.
    pub reason: String,
    /// The numbers of the last breach.
    pub finding: Option<Finding>,
    /// Why it does not go on, while it could.
    pub waiting: Option<String>,
    /// Looks that have been taken since the start.
    pub looks: u32,
    /// The largest share so far: that of the users who met it.
    pub highest: Percent,
    /// Requests of the color's version since the start, and how many failed.
    pub requests: u64,
    pub failures: u64,
    /// The numbers of the last window that has ended.
    #[serde(default)]
    pub last_window: Option<Numbers>,
    /// The latest events, the last one last.
    pub events: Vec<Event>,
}

/// Events that a state remembers.
const EVENTS_KEPT: usize = 20;

/// Something that happened to a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub time: Moment,
    pub kind: Kind,
    pub from: Percent,
    pub to: Percent,
    pub reason: String,
}

label_values! {
    /// What kind of event it was.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Kind {
        "started" => Started,
        "step" => Step,
        "paused" => Paused,
        "resumed" => Resumed,
        "aborted" => Aborted,
        "done" => Done,
    }
}

impl State {
    /// Obeys an operator. `live` is the share that holds now.
    ///
    /// # Errors
    /// Why not, when the command does not fit.
    pub fn command(
        &mut self,
        plan: &Rollout,
        command: Command,
        live: Percent,
        now: Moment,
    ) -> Result<Event, String> {
        let by_hand = "by hand".to_owned();
        match (command, self.phase) {
            (Command::Start, Phase::Idle | Phase::Aborted) => {
                Ok(self.start(plan, live, by_hand, now))
            }
            (Command::Start, phase) => Err(format!("it is {} already", phase.name())),
            (Command::Pause, Phase::Running) => {
                Ok(self.turn(Kind::Paused, self.share, by_hand, now))
            }
            (Command::Resume, Phase::Paused) => {
                Ok(self.turn(Kind::Resumed, self.share, by_hand, now))
            }
            (Command::Promote, Phase::Running | Phase::Paused) => {
                Ok(self.advance(plan, by_hand, now))
            }
            (Command::Abort, Phase::Aborted) => Err("it is aborted already".to_owned()),
            (Command::Abort, _) => Ok(self.turn(Kind::Aborted, Percent(0), by_hand, now)),
            (_, phase) => Err(format!("it is {}", phase.name())),
        }
    }

    /// The first step; nobody who has the color by the file's share is taken back.
    pub fn start(&mut self, plan: &Rollout, live: Percent, reason: String, now: Moment) -> Event {
        let first = plan.steps.iter().find(|step| **step >= live);
        let first = first.or(plan.steps.last()).copied().unwrap_or_default();
        *self = Self {
            share: live,
            events: std::mem::take(&mut self.events),
            ..Self::default()
        };
        self.turn(Kind::Started, first, reason, now)
    }

    /// Stops where it is because somebody has set the share by hand.
    pub fn overruled(&mut self, share: Percent, now: Moment) -> Option<Event> {
        let moves = matches!(self.phase, Phase::Running | Phase::Paused);
        moves.then(|| {
            self.turn(
                Kind::Paused,
                share,
                "the share was set by hand".to_owned(),
                now,
            )
        })
    }

    /// What follows from a look at the window. `None`: nothing happens.
    pub fn tick(&mut self, plan: &Rollout, verdict: &Verdict, now: Moment) -> Option<Event> {
        if self.phase != Phase::Running {
            return None;
        }
        self.waiting = None;
        if let Verdict::Breach(finding) = verdict {
            self.finding = Some(finding.clone());
            let reason = finding.text.clone();
            return Some(match plan.on_breach {
                OnBreach::Abort => self.turn(Kind::Aborted, Percent(0), reason, now),
                OnBreach::Pause => self.turn(Kind::Paused, self.share, reason, now),
            });
        }
        if now < self.since.plus(plan.every) {
            return None;
        }
        let waiting = match verdict {
            Verdict::Thin { have, need } => format!("{have} of {need} requests that it needs"),
            Verdict::Doubtful(finding) => format!("this may be chance: {}", finding.text),
            _ if plan.hold.iter().any(|hold| hold.contains(now.seconds())) => {
                "no steps at this time".to_owned()
            }
            _ => return Some(self.advance(plan, "the window was sound".to_owned(), now)),
        };
        self.waiting = Some(waiting);
        None
    }

    /// What the color's version has served in a window that is over.
    pub fn met(&mut self, routes: &[Sides]) {
        for sides in routes {
            self.requests += u64::from(sides.color.requests);
            self.failures += u64::from(sides.color.failures);
        }
    }

    fn advance(&mut self, plan: &Rollout, reason: String, now: Moment) -> Event {
        match plan.steps.iter().find(|step| **step > self.share) {
            Some(next) => self.turn(Kind::Step, *next, reason, now),
            None => self.turn(Kind::Done, self.share, reason, now),
        }
    }

    fn turn(&mut self, kind: Kind, to: Percent, reason: String, now: Moment) -> Event {
        let event = Event {
            time: now,
            kind,
            from: self.share,
            to,
            reason: reason.clone(),
        };
        self.phase = match kind {
            Kind::Started | Kind::Step | Kind::Resumed => Phase::Running,
            Kind::Paused => Phase::Paused,
            Kind::Aborted => Phase::Aborted,
            Kind::Done => Phase::Done,
        };
        self.share = to;
        self.highest = self.highest.max(to);
        self.since = now;
        self.reason = reason;
        self.waiting = None;
        self.events.push(event.clone());
        if self.events.len() > EVENTS_KEPT {
            self.events.remove(0);
        }
        event
    }
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Aborted => "aborted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Kind, Phase, State, Verdict};
    use crate::config::rollout::Rollout;
    use crate::config::units::Percent;
    use crate::rollout::{Finding, Moment};
    use crate::routing::testing::config;
    use proptest::prelude::*;

    pub fn plan(more: &str) -> Rollout {
        let text = format!(
            "[colors.next]\nversions = {{ shop = \"v2\" }}\nshare = {{ percent = \"0%\" }}\n\
             [rollouts.next]\nsteps = [\"1%\", \"5%\", \"25%\", \"100%\"]\nevery = \"60s\"\n{more}"
        );
        config(&text).rollouts["next"].clone()
    }

    fn breach() -> Verdict {
        Verdict::Breach(Finding {
            what: "error_rate".to_owned(),
            text: "7.5% of its requests failed (15 of 200)".to_owned(),
            chance: 0.0,
        })
    }

    #[test]
    fn sound_windows_lead_to_the_end_and_no_further() {
        let plan = plan("");
        let mut state = State::default();
        state
            .command(&plan, Command::Start, Percent(0), Moment(0))
            .unwrap();
        let mut seen = vec![state.share.0];
        for second in 0..400 {
            if let Some(event) = state.tick(&plan, &Verdict::Sound, Moment(second * 1000)) {
                seen.push(event.to.0);
            }
        }
        assert_eq!(seen, [100, 500, 2500, 10_000, 10_000]);
        assert_eq!(state.phase, Phase::Done);
    }

    #[test]
    fn a_start_takes_nobody_back() {
        let mut state = State::default();
        let event = state.command(&plan(""), Command::Start, Percent(400), Moment(0));
        assert_eq!(event.unwrap().to, Percent(500));
    }

    #[test]
    fn thin_and_doubtful_windows_hold() {
        let plan = plan("hold = [\"00:00-12:00\"]\n");
        let mut state = State::default();
        state
            .command(&plan, Command::Start, Percent(0), Moment(0))
            .unwrap();
        let noon = 12 * 3600 * 1000;
        let thin = Verdict::Thin { have: 3, need: 200 };
        assert_eq!(state.tick(&plan, &thin, Moment(noon)), None);
        assert!(state.waiting.as_ref().unwrap().contains("3 of 200"));
        let Verdict::Breach(finding) = breach() else {
            unreachable!()
        };
        assert_eq!(
            state.tick(&plan, &Verdict::Doubtful(finding), Moment(noon)),
            None
        );
        assert_eq!(state.tick(&plan, &Verdict::Sound, Moment(noon - 1)), None);
        let event = state.tick(&plan, &Verdict::Sound, Moment(noon)).unwrap();
        assert_eq!((event.kind, event.to), (Kind::Step, Percent(500)));
    }

    #[test]
    fn a_breach_aborts_or_pauses_at_once_and_says_why() {
        for (more, phase, share) in [
            ("", Phase::Aborted, 0),
            ("on_breach = \"pause\"\n", Phase::Paused, 100),
        ] {
            let plan = plan(more);
            let mut state = State::default();
            state
                .command(&plan, Command::Start, Percent(0), Moment(0))
                .unwrap();
            let event = state.tick(&plan, &breach(), Moment(1)).unwrap();
            assert_eq!((state.phase, state.share), (phase, Percent(share)));
            assert!(event.reason.contains("15 of 200"));
            assert_eq!(state.highest, Percent(100), "the users who met it");
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_the_share_is_a_step_or_zero(
            moves in prop::collection::vec((0_u8..9, 0_u64..120_000), 1..80),
        ) {
            let plan = plan("");
            let (mut state, mut now) = (State::default(), Moment(0));
            for (what, later) in moves {
                now = Moment(now.0 + later);
                let before = state.clone();
                let commands = [Command::Start, Command::Pause, Command::Resume, Command::Promote, Command::Abort];
                let event = match commands.get(usize::from(what)) {
                    Some(command) => state.command(&plan, *command, before.share, now).ok(),
                    None if what == 5 => state.tick(&plan, &breach(), now),
                    None => state.tick(&plan, &Verdict::Sound, now),
                };
                prop_assert!(state.share == Percent(0) || plan.steps.contains(&state.share));
                let rises = state.share > before.share;
                prop_assert!(!rises || matches!(state.phase, Phase::Running));
                prop_assert!(!rises || event.is_some());
                prop_assert!(state.phase != Phase::Aborted || state.share == Percent(0));
                prop_assert!(before.phase == Phase::Running || what < 5 || event.is_none());
                prop_assert!(state.events.len() <= super::EVENTS_KEPT);
            }
        }
    }
}
