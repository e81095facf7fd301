//! A node that says what it is told to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// The target as it stood in the request line.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// The client's port: the same for two requests only if they share a connection.
    pub from: u16,
}

/// What every request is answered with.
#[derive(Debug, Clone)]
pub struct Script {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Script {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A refusal as a node words it.
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        let problem =
            serde_json::json!({ "type": "/problems/x", "title": title, "status": status, "detail": detail });
        Self::new(status).header("content-type", "application/problem+json").body(problem.to_string())
    }
}

pub struct ScriptedNode {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedNode {
    pub fn start(script: Script) -> Self {
        Self::start_in_turn(vec![script])
    }

    /// One that answers with each of `scripts` in turn, and then with the last one.
    pub fn start_in_turn(scripts: Vec<Script>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (started, starting) = mpsc::channel();
        let seen = asked.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    let (scripts, seen) = (scripts.clone(), seen.clone());
                    App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                        let mut seen = seen.lock().unwrap();
                        let reply = reply(&scripts[seen.len().min(scripts.len() - 1)]);
                        seen.push(note(&request, &body));
                        async move { reply }
                    }))
                };
                let server =
                    HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                let port = server.addrs()[0].port();
                let server = server.run();
                started.send((port, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (port, handle) = starting.recv().unwrap();
        Self { port, asked, handle, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The one request that was made.
    pub fn asked_once(&self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}

impl Drop for ScriptedNode {
    fn drop(&mut self) {
        actix_web::rt::System::new().block_on(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn note(request: &HttpRequest, body: &[u8]) -> Asked {
    let headers = request.headers().iter();
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap().to_owned();
    Asked {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: body.to_vec(),
        from: request.peer_addr().unwrap().port(),
    }
}

fn reply(script: &Script) -> HttpResponse {
    let mut reply = HttpResponse::build(StatusCode::from_u16(script.status).unwrap());
    for (name, value) in &script.headers {
        reply.insert_header((*name, value.as_str()));
    }
    reply.body(script.body.clone())
}
