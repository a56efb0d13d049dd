//! What happens on one connection: a head is read, answered, and the answer sent; and again.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::connection::send;
use crate::connection::socket::Socket;
use crate::connection::table::Connection;
use crate::http::answer::Answer;
use crate::http::request::{MAX_HEAD, Refusal, Request};
use crate::routes::app::App;
use crate::routes::client::Client;

/// Serves the requests of one connection until it ends.
///
/// # Errors
///
/// When the client breaks the connection, or an answer can't be finished.
pub async fn converse(stream: TcpStream, app: &App, connection: &Arc<Connection>) -> io::Result<()> {
    let mut socket = Socket::new(stream, Arc::clone(connection));
    let mut received = Vec::new();
    loop {
        let Some(asked) = next_head(&mut socket, &mut received).await? else { return Ok(()) };
        let answering = connection.answer();
        let mut framing = send::Framing::of(asked.as_ref().ok());
        let answer = match &asked {
            Ok(request) => answer(app, request, &mut socket, &mut received).await?,
            Err(refusal) => match app.refuse(refusal) {
                Some(answer) => answer,
                None => return Ok(()),
            },
        };
        framing.ends |= connection.is_last() || answer.ends_connection;
        let ends = send::send(&mut socket, answer, framing).await?;
        drop(answering);
        if ends || connection.is_last() {
            break;
        }
    }
    socket.linger().await;
    Ok(())
}

/// Waits for the head of the next request, and takes it out of what was `received`; `None` if the client sends no more.
async fn next_head(socket: &mut Socket, received: &mut Vec<u8>) -> io::Result<Option<Result<Request, Refusal>>> {
    loop {
        if !received.is_empty() {
            match Request::parse(received) {
                Ok(Some((request, length))) => {
                    take_out(received, length);
                    return Ok(Some(Ok(request)));
                }
                Ok(None) => socket.connection.received(),
                Err(refusal) => return Ok(Some(Err(refusal))),
            }
        }
        if socket.receive(received).await? == 0 {
            return Ok(None);
        }
    }
}

/// Leaves no buffer behind a request that came alone, as most do: the next may be long in coming.
fn take_out(received: &mut Vec<u8>, length: usize) {
    if length == received.len() {
        *received = Vec::new();
    } else {
        received.drain(..length);
    }
}

/// Lets the routes answer, and tells them meanwhile whether the client still sends. What it sends is kept for later.
async fn answer(app: &App, request: &Request, socket: &mut Socket, received: &mut Vec<u8>) -> io::Result<Answer> {
    let client = Client::default();
    tokio::select! {
        biased;
        answer = app.answer(request, &client) => Ok(answer),
        error = watch(&client, socket, received) => Err(error),
    }
}

/// Returns when the connection is broken.
async fn watch(client: &Client, socket: &mut Socket, received: &mut Vec<u8>) -> io::Error {
    while received.len() < MAX_HEAD {
        match socket.receive(received).await {
            Ok(0) => {
                client.sends_no_more();
                break;
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    std::future::pending().await
}
