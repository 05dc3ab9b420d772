//! What a demo prints: numbered steps, commands, what they answer, and why.

/// Prints the steps in order.
#[derive(Debug, Default)]
pub(super) struct Screen {
    step: usize,
}

impl Screen {
    /// Begins a step.
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n{:2}. {title}", self.step);
    }

    /// The number of the present step.
    pub(super) fn number(&self) -> usize {
        self.step
    }
}

/// Says something in plain words.
pub(super) fn say(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}

/// Shows a command as it would be typed.
pub(super) fn command(text: &str) {
    println!("    $ {text}");
}

/// Shows what a command printed.
pub(super) fn output(text: &str) {
    for line in text.trim_end().lines() {
        println!("    {line}");
    }
}
