//! A guest over a real socket: connects, plays, and comes back after every loss until the run is over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop_protocol::{As, ClientFrame, Hello, decode_server};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpSocket,
    time::{sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::ORIGIN},
        protocol::WebSocketConfig,
    },
};

use super::{
    conduct::{Then, act},
    guest::{Guest, Part},
    record::Record,
    scene::{Phase, Scene},
};
use crate::client::{Place, source};

/// Connecting, the upgrade, or writing to a server that does not read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest pause between two attempts: a person's client waits longer, here it would only make the run long.
const LONGEST_PAUSE_MS: u64 = 120;
/// Time between looks at what is to be repeated.
const TICK: Duration = Duration::from_millis(50);
/// Receive buffer of a slow reader, bytes: the kernel would hold megabytes for it otherwise.
const NARROW: u32 = 16 * 1024;

pub(super) type Socket = WebSocketStream<tokio::net::TcpStream>;

/// Opens a socket and says hello. Errors are sentences.
pub(super) async fn connect(place: &Place, number: u32, hello: Hello, narrow: bool) -> Result<Socket, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let connecting = async {
        let socket = TcpSocket::new_v4().map_err(|error| said(&error))?;
        if narrow {
            socket.set_recv_buffer_size(NARROW).map_err(|error| said(&error))?;
        }
        if place.address.ip().is_loopback() {
            socket.bind((source(number), 0).into()).map_err(|error| said(&error))?;
        }
        let stream = socket.connect(place.address).await.map_err(|error| said(&error))?;
        stream.set_nodelay(true).map_err(|error| said(&error))?;
        let mut request = format!("ws://{}/ws", place.address).into_client_request().map_err(|error| said(&error))?;
        if hello.who == As::Visitor {
            let origin = HeaderValue::from_str(&place.origin).map_err(|error| said(&error))?;
            request.headers_mut().insert(ORIGIN, origin);
        }
        let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
        let (mut socket, _) =
            client_async_with_config(request, stream, Some(config)).await.map_err(|error| said(&error))?;
        socket.send(text(&ClientFrame::Hello(hello))).await.map_err(|error| said(&error))?;
        Ok::<_, String>(socket)
    };
    timeout(PATIENCE, connecting).await.map_err(|error| said(&error))?
}

pub(super) fn text(frame: &ClientFrame) -> Message {
    let text = serde_json::to_string(frame).expect("a frame of ids, numbers and strings always has a JSON form");
    Message::Text(text.into())
}

/// Plays a guest until the run is over; its record.
pub(super) async fn visit(mut guest: Guest, number: u32) -> Record {
    let scene = Arc::clone(&guest.scene);
    while scene.phase() != Phase::Over && guest.sent_away.is_none() {
        if let Some(hello) = guest.hello().await
            && let Ok(socket) = connect(&scene.place, number, hello, matches!(guest.part, Part::Slow { .. })).await
            && play(&mut guest, socket, &scene).await == Left::Over
        {
            return guest.finish(true);
        }
        guest.lost();
        let at_least = std::mem::take(&mut guest.come_back);
        sleep(at_least + Duration::from_millis(guest.dice.below(LONGEST_PAUSE_MS) + 1)).await;
    }
    guest.finish(false)
}

#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// The run is over, and the connection stands.
    Over,
    Lost,
}

async fn play(guest: &mut Guest, mut socket: Socket, scene: &Scene) -> Left {
    let mut next = Instant::now() + pause(guest);
    let mut reads_from = Instant::now();
    loop {
        let reading = Instant::now() >= reads_from;
        let wake = next.min(Instant::now() + TICK);
        tokio::select! {
            heard = socket.next(), if reading => match heard {
                Some(Ok(Message::Text(text))) => match decode_server(&text) {
                    Ok(frame) => guest.hear(frame),
                    Err(bad) => {
                        guest.sent_away = Some(format!("heard a frame that breaks the contract: {bad}"));
                        return Left::Lost;
                    }
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Left::Lost,
                Some(Ok(_)) => {}
            },
            () = sleep_until(wake.into()) => {}
        }
        let now = Instant::now();
        if guest.is_live() {
            match scene.phase() {
                Phase::Over => return Left::Over,
                Phase::Settling => reads_from = reads_from.min(now),
                Phase::Playing if now >= next => {
                    next = now + pause(guest);
                    match act(guest) {
                        Then::Stay => {}
                        Then::Drop => return Left::Lost,
                        Then::Stall => {
                            let most = scene.mood.stall.as_millis() as u64;
                            reads_from = now + Duration::from_millis(guest.dice.below(most));
                            next = reads_from + pause(guest);
                        }
                    }
                }
                Phase::Playing => {}
            }
            guest.tick(now);
        }
        if write(guest, &mut socket).await.is_err() {
            return Left::Lost;
        }
    }
}

/// Everything that is to be said, with one flush.
async fn write(guest: &mut Guest, socket: &mut Socket) -> Result<(), String> {
    let mut any = false;
    while let Some(frame) = guest.next_out() {
        any = true;
        let fed = timeout(PATIENCE, socket.feed(text(&frame))).await;
        fed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    }
    if any {
        let flushed = timeout(PATIENCE, socket.flush()).await;
        flushed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Between nothing and twice the mean.
fn pause(guest: &mut Guest) -> Duration {
    let mean = guest.scene.mood.think.as_micros() as u64;
    Duration::from_micros(guest.dice.below(mean * 2 + 1))
}
