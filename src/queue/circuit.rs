//! Whether a flow is called at all. Where AWS does not answer, each call holds a slot until it times
//! out: after a few such calls in a row the circuit opens, and one run at a time probes. Pure.

use std::time::{Duration, Instant};

/// So many calls in a row without an answer open the circuit.
pub const OPENS_AFTER: u32 = 5;
/// The pause before the first probe.
pub const FIRST_PROBE: Duration = Duration::from_secs(5);
/// The longest pause between two probes.
pub const LAST_PROBE: Duration = Duration::from_secs(60);

/// The circuit of a flow.
#[derive(Clone, Debug)]
pub struct Circuit {
    state: State,
    openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { misses: u32 },
    Open { since: Instant, until: Instant, pause: Duration },
    Probing { since: Instant, pause: Duration, missed: bool },
}

/// What a circuit lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    Free,
    /// One run, as a probe.
    Probe,
    /// Nothing before then, or before a probe has ended.
    Shut(Option<Instant>),
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The circuit opened.
    Opened,
    /// The circuit closed.
    Closed,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: State::Closed { misses: 0 }, openings: 0 }
    }
}

impl Circuit {
    /// What it lets pass.
    pub fn passage(&self, now: Instant) -> Passage {
        match self.state {
            State::Closed { .. } => Passage::Free,
            State::Open { until, .. } if until <= now => Passage::Probe,
            State::Open { until, .. } => Passage::Shut(Some(until)),
            State::Probing { .. } => Passage::Shut(None),
        }
    }

    /// Since when AWS has not answered, while the circuit is open.
    pub fn open_since(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { since, .. } | State::Probing { since, .. } => Some(since),
        }
    }

    /// How often it has opened.
    pub fn openings(&self) -> u64 {
        self.openings
    }

    /// A probe begins.
    pub fn probe(&mut self) {
        if let State::Open { since, pause, .. } = self.state {
            self.state = State::Probing { since, pause, missed: false };
        }
    }

    /// The run that was the probe has ended: in vain, or without calling anybody; then the next one probes.
    pub fn probe_ended(&mut self, now: Instant) {
        if let State::Probing { since, pause, missed } = self.state {
            let longer = (pause * 2).min(LAST_PROBE);
            self.state = match missed {
                true => State::Open { since, until: now + longer, pause: longer },
                false => State::Open { since, until: now, pause },
            };
        }
    }

    /// AWS has answered, whatever it said.
    pub fn answered(&mut self) -> Option<Turn> {
        let was_open = self.open_since().is_some();
        self.state = State::Closed { misses: 0 };
        was_open.then_some(Turn::Closed)
    }

    /// A call got no answer.
    pub fn missed(&mut self, now: Instant) -> Option<Turn> {
        match self.state {
            State::Closed { misses } if misses + 1 < OPENS_AFTER => {
                self.state = State::Closed { misses: misses + 1 };
                None
            }
            State::Closed { .. } => {
                self.state = State::Open { since: now, until: now + FIRST_PROBE, pause: FIRST_PROBE };
                self.openings += 1;
                Some(Turn::Opened)
            }
            // Perhaps of a call that began before: the probe goes on until it has ended.
            State::Probing { since, pause, .. } => {
                self.state = State::Probing { since, pause, missed: true };
                None
            }
            // A call that began before.
            State::Open { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::default();
        let turns: Vec<_> = (0..OPENS_AFTER).map(|_| circuit.missed(now)).collect();
        assert_eq!(turns, [None, None, None, None, Some(Turn::Opened)]);
        circuit
    }

    #[test]
    fn misses_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for _ in 0..20 {
            (0..OPENS_AFTER - 1).for_each(|_| assert_eq!(circuit.missed(now), None));
            assert_eq!(circuit.answered(), None);
        }
        assert_eq!(circuit.passage(now), Passage::Free);
        assert_eq!(opened(now).passage(now), Passage::Shut(Some(now + FIRST_PROBE)));
    }

    #[test]
    fn one_that_never_recovers_costs_a_probe_a_minute() {
        let start = Instant::now();
        let mut circuit = opened(start);
        let mut probes = Vec::new();
        for second in 0..600 {
            let now = start + SECOND * second;
            assert_eq!(circuit.missed(now), None, "calls from before change nothing");
            if circuit.passage(now) == Passage::Probe {
                probes.push(second);
                circuit.probe();
                assert_eq!(circuit.passage(now), Passage::Shut(None), "one at a time");
                circuit.missed(now);
                circuit.probe_ended(now);
            }
        }
        assert_eq!(probes[..5], [5, 15, 35, 75, 135]);
        assert!(probes.windows(2).skip(3).all(|pair| pair[1] - pair[0] == 60), "{probes:?}");
        assert_eq!(circuit.answered(), Some(Turn::Closed));
        assert_eq!((circuit.passage(start), circuit.openings()), (Passage::Free, 1));
    }

    #[test]
    fn a_probe_that_calls_nobody_hands_on() {
        let now = Instant::now() + SECOND * 100;
        let mut circuit = opened(now - SECOND * 60);
        circuit.probe();
        circuit.probe_ended(now);
        assert_eq!(circuit.passage(now), Passage::Probe);
    }
}
