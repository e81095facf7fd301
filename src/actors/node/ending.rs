//! What ends a run.

use actix_rt::signal::unix::{SignalKind, signal};

use super::{RunOptions, StartError};

/// What ends a run.
pub(super) struct Stop {
    term: actix_rt::signal::unix::Signal,
    interrupt: actix_rt::signal::unix::Signal,
    stdin_closed: Option<tokio::sync::oneshot::Receiver<()>>,
}

impl Stop {
    pub(super) fn new(options: &RunOptions) -> Result<Self, StartError> {
        let (term, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stdin_closed = if options.exit_on_stdin_close { Some(watch_stdin()?) } else { None };
        Ok(Self { term, interrupt, stdin_closed })
    }

    pub(super) async fn asked(&mut self) {
        let closed = async {
            match &mut self.stdin_closed {
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => tracing::info!("stopping: SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("stopping: SIGINT"),
            () = closed => tracing::info!("stopping: standard input closed"),
        }
    }
}

fn watch_stdin() -> std::io::Result<tokio::sync::oneshot::Receiver<()>> {
    let (closed, receiver) = tokio::sync::oneshot::channel();
    let read = move || {
        // Whatever is written there is thrown away; only the end counts.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = closed.send(());
    };
    std::thread::Builder::new().name("neap-stdin".to_owned()).spawn(read)?;
    Ok(receiver)
}
