//! A bare actix-web handler: what any REST server could reach on this machine under the same client.

use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Args;

use crate::cli::exit::Exit;
use crate::cli::remote::complain;

/// Arguments of the hidden command.
#[derive(Debug, Clone, Args)]
pub struct CeilingArgs {
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
    /// How many bytes it answers
    #[arg(long)]
    value_bytes: usize,
}

/// Serves until standard input closes, with one worker.
pub fn run(args: &CeilingArgs) -> Exit {
    let (listen, body) = (args.listen, bytes::Bytes::from(vec![b'v'; args.value_bytes]));
    let served = actix_web::rt::System::new().block_on(async move {
        let app = move || {
            let body = body.clone();
            App::new().default_service(web::to(move || {
                let body = body.clone();
                async move { HttpResponse::Ok().body(body) }
            }))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind(listen)?.run();
        let handle = server.handle();
        std::thread::spawn(move || {
            // Whatever is written there is thrown away; only the end counts.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            actix_web::rt::System::new().block_on(handle.stop(false));
        });
        server.await
    });
    match served {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&format!("{listen}: {error}"));
            Exit::Failed
        }
    }
}
