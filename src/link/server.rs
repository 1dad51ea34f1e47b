//! The control plane's end: a request upgraded to a WebSocket.

use super::allowance::Allowance;
use super::socket::{EndOfLink, Socket};
use super::{Frame, Link, LinkError};
use actix_web::error::PayloadError;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, dev, web};
use actix_ws::{CloseCode, Message, MessageStream, ProtocolError, Session};
use bytes::Bytes;
use futures_util::{Sink, Stream, ready};
use std::any::Any;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// How long a frame may take from its first byte to its last.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// How a link is taken.
pub struct Terms {
    pub subprotocol: &'static str,
    pub allowance: Allowance,
    /// A link on which nothing is heard for so long is closed; `None` where the dialect has a
    /// rule of its own.
    pub silence: Option<Duration>,
    /// The socket of the connection, to end it when it does not end by itself.
    pub socket: Weak<Socket>,
    /// What is dropped with the link.
    pub held: Box<dyn Any>,
}

/// Upgrades a request. The answer goes out when the caller returns it; the link is live then.
///
/// # Errors
/// The request is no WebSocket handshake.
pub async fn accept(
    request: &HttpRequest,
    body: web::Payload,
    terms: Terms,
) -> Result<(HttpResponse, Link), actix_web::Error> {
    let inflow = Inflow {
        inner: body.into_inner(),
        allowance: terms.allowance.clone(),
        timer: None,
    };
    let inflow: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(inflow);
    let mut payload = dev::Payload::Stream { payload: inflow };
    let body = web::Payload::from_request(request, &mut payload).await?;
    let protocols = [terms.subprotocol];
    let (response, session, messages) = actix_ws::handle_with_protocols(request, body, &protocols)?;
    let end = Rc::new(EndOfLink(terms.socket));
    let sink = Outgoing {
        session: session.clone(),
        told: false,
        _end: Rc::clone(&end),
    };
    let stream = Incoming {
        messages: Some(messages.max_frame_size(terms.allowance.frame())),
        frame: terms.allowance.frame(),
        session,
        pong: None,
        allowance: terms.allowance.clone(),
        silence: terms.silence.map(|time| (time, Box::pin(sleep(time)))),
        _held: terms.held,
        _end: end,
    };
    let link = Link {
        allowance: terms.allowance,
        ..Link::new(sink, stream)
    };
    Ok((response, link))
}

/// The bytes of a connection, as many of an unfinished frame as are allowed.
struct Inflow {
    inner: dev::Payload,
    allowance: Allowance,
    /// The end of the time for the frame that follows so many whole ones.
    timer: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Stream for Inflow {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_next(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                let fits = this.allowance.take(bytes.len());
                Poll::Ready(Some(fits.then_some(bytes).ok_or(PayloadError::Overflow)))
            }
            Poll::Pending if this.allowance.is_unfinished() => {
                let messages = this.allowance.messages();
                let timer = match &mut this.timer {
                    Some((of, timer)) if *of == messages => timer,
                    other => &mut other.insert((messages, Box::pin(sleep(FRAME_TIME)))).1,
                };
                ready!(timer.as_mut().poll(cx));
                let late = io::Error::new(io::ErrorKind::TimedOut, "a frame is never finished");
                Poll::Ready(Some(Err(PayloadError::Io(late))))
            }
            Poll::Pending => {
                this.timer = None;
                Poll::Pending
            }
            ended => ended,
        }
    }
}

/// Frames from the peer. Pings are answered here: whoever is busy with a frame still lives.
struct Incoming {
    /// `None` once the link has ended.
    messages: Option<MessageStream>,
    /// The largest frame that the messages know of.
    frame: usize,
    session: Session,
    pong: Option<Bytes>,
    allowance: Allowance,
    silence: Option<(Duration, Pin<Box<Sleep>>)>,
    _held: Box<dyn Any>,
    _end: Rc<EndOfLink>,
}

impl Incoming {
    /// Sends what a ping asks for when there is room; a later ping replaces an earlier one.
    fn answer(&mut self, cx: &mut Context<'_>) {
        if self.pong.is_none() || Pin::new(&mut self.session).poll_ready(cx).is_pending() {
            return;
        }
        if let Some(bytes) = self.pong.take() {
            // A session that has ended is noticed by who reads.
            let _ = Pin::new(&mut self.session).start_send(Message::Pong(bytes));
        }
    }

    /// The next message, within the frame that is allowed now.
    fn message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, LinkError>>> {
        let allowed = self.allowance.frame();
        if allowed != self.frame {
            self.frame = allowed;
            self.messages = self.messages.take().map(|all| all.max_frame_size(allowed));
        }
        let Some(messages) = &mut self.messages else {
            return Poll::Ready(None);
        };
        match Pin::new(messages).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => {
                self.allowance.finish();
                if let Some((time, timer)) = &mut self.silence {
                    timer.as_mut().reset(Instant::now() + *time);
                }
                Poll::Ready(Some(Ok(message)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.failed(&error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Some((time, timer)) = &mut self.silence else {
                    return Poll::Pending;
                };
                ready!(timer.as_mut().poll(cx));
                let silent = format!("nothing was heard for {} s", time.as_secs());
                Poll::Ready(Some(Err(LinkError::Failed(silent))))
            }
        }
    }

    fn failed(&self, error: &ProtocolError) -> LinkError {
        let text = error.to_string();
        let too_large = matches!(error, ProtocolError::Overflow) || text.contains("size limit");
        LinkError::Failed(match too_large {
            true => format!("a frame is larger than {} bytes", self.frame),
            false => text,
        })
    }
}

impl Stream for Incoming {
    type Item = Result<Frame, LinkError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            this.answer(cx);
            let frame = match ready!(this.message(cx)) {
                Some(Ok(Message::Binary(bytes))) => Ok(Frame::Binary(bytes)),
                Some(Ok(Message::Pong(_))) => Ok(Frame::Pong),
                Some(Ok(Message::Ping(bytes))) => {
                    this.pong = Some(bytes);
                    continue;
                }
                Some(Ok(Message::Nop)) => continue,
                Some(Ok(Message::Close(_))) => Err(LinkError::Closed),
                Some(Ok(Message::Text(_) | Message::Continuation(_))) => Err(LinkError::Failed(
                    "a frame that is not binary and whole".into(),
                )),
                Some(Err(error)) => Err(error),
                None => {
                    this.messages = None;
                    return Poll::Ready(None);
                }
            };
            if frame.is_err() {
                this.messages = None;
            }
            return Poll::Ready(Some(frame));
        }
    }
}

/// Frames to the peer. Closed, it says so and ends the answer, and the connection with it.
struct Outgoing {
    session: Session,
    /// The closing frame is on its way.
    told: bool,
    _end: Rc<EndOfLink>,
}

impl Sink<Frame> for Outgoing {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let ready = Pin::new(&mut self.get_mut().session).poll_ready(cx);
        ready.map_err(|_| LinkError::Closed)
    }

    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        let message = match frame {
            Frame::Binary(bytes) => Message::Binary(bytes),
            Frame::Ping => Message::Ping(Bytes::new()),
            Frame::Pong => Message::Pong(Bytes::new()),
        };
        let sent = Pin::new(&mut self.get_mut().session).start_send(message);
        sent.map_err(|_| LinkError::Closed)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let flushed = Pin::new(&mut self.get_mut().session).poll_flush(cx);
        flushed.map_err(|_| LinkError::Closed)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = self.get_mut();
        if !this.told {
            // A peer that is gone need not be told.
            if ready!(Pin::new(&mut this.session).poll_ready(cx)).is_ok() {
                let close = Message::Close(Some(CloseCode::Normal.into()));
                let _ = Pin::new(&mut this.session).start_send(close);
            }
            this.told = true;
        }
        let closed = Pin::new(&mut this.session).poll_close(cx);
        closed.map_err(|_| LinkError::Closed)
    }
}
