//! Named steps at which a test has the process end, as `kill -9` ends it.
//!
//! A step is one line, `failpoint!`, which is no code at all without the Cargo feature
//! `failpoints`; no build for use has it. With it, `ESTD_KILL_AT="issue: signed=7"` ends the process
//! when that step is passed for the seventh time. tests/crash/main.rs kills at each of them.

/// A step at which a test can end the process. The expression behind the name is evaluated first.
macro_rules! failpoint {
    ($step:literal $(, $first:expr)?) => {
        #[cfg(feature = "failpoints")]
        if $crate::failpoint::is_due($step) {
            $(let _ = $first;)?
            $crate::failpoint::kill();
        }
    };
}
pub(crate) use failpoint;

#[cfg(feature = "failpoints")]
mod chosen {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    struct Chosen {
        step: String,
        passes: AtomicU64,
    }

    /// The step, and how many passes of it are left. Read once: the environment does not change.
    static CHOSEN: LazyLock<Option<Chosen>> = LazyLock::new(|| {
        let text = std::env::var("ESTD_KILL_AT").ok()?;
        let (step, pass) = text.rsplit_once('=')?;
        Some(Chosen { step: step.to_owned(), passes: AtomicU64::new(pass.parse().ok()?) })
    });

    /// Whether this pass is the one.
    pub(crate) fn is_due(step: &str) -> bool {
        CHOSEN.as_ref().is_some_and(|chosen| {
            chosen.step == step && chosen.passes.fetch_sub(1, Ordering::SeqCst) == 1
        })
    }

    /// Ends the process: no destructor runs, nothing is written.
    pub(crate) fn kill() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way to this thread too.
        loop {
            std::thread::park();
        }
    }
}
#[cfg(feature = "failpoints")]
pub(crate) use chosen::{is_due, kill};
