//! A bare actix-web handler: what any REST server could reach on this machine under the same client.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Args;
use futures_util::StreamExt as _;

use crate::cli::exit::Exit;
use crate::cli::remote::complain;
use crate::client::Endpoint;

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of the hidden command.
#[derive(Debug, Clone, Args)]
pub struct CeilingArgs {
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
    /// How many bytes it answers
    #[arg(long)]
    value_bytes: u32,
}

/// Serves until standard input closes, with one worker.
pub fn run(args: &CeilingArgs) -> Exit {
    let (listen, body) = (args.listen, bytes::Bytes::from(vec![b'v'; args.value_bytes as usize]));
    let served = actix_web::rt::System::new().block_on(async move {
        let app = move || {
            let body = body.clone();
            App::new().default_service(web::to(move |mut sent: web::Payload| {
                let body = body.clone();
                async move {
                    // What is not read would cost its client the connection.
                    while let Some(Ok(_)) = sent.next().await {}
                    HttpResponse::Ok().body(body)
                }
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

/// A bare handler in a process of its own, which ends when this value does.
#[derive(Debug)]
pub struct BareServer {
    child: Child,
    address: SocketAddr,
}

impl BareServer {
    /// Answers so many bytes to whatever it is asked. None at all are an empty answer of OTLP: then it is a collector
    /// that takes everything and forgets it.
    pub fn start(value_bytes: u32) -> Result<Self, String> {
        let text = |error: std::io::Error| format!("the bare handler cannot be started: {error}");
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(text)?;
        let child = Command::new(std::env::current_exe().map_err(text)?)
            .args(["bench", "ceiling-server", "--listen", &address.to_string()])
            .args(["--value-bytes", &value_bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(text)?;
        let server = Self { child, address };
        let started = Instant::now();
        while let Err(error) = TcpStream::connect(address) {
            if started.elapsed() > START_TIMEOUT {
                return Err(text(error));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Where it is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::loopback(self.address.port())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        // What cannot be killed has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
