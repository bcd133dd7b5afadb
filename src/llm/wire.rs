//! An answer as it comes in: its head, and its body piece by piece.
//!
//! Edge. A server on this machine is asked over a connection that nobody but the reader of the answer drives: no task, no
//! channel and no pool between the socket and who waits for it, because each of them is a wake-up more for every token.
//! Everything else (names to resolve, TLS, credentials in the address) is left to reqwest. Promises on both ways: dropping
//! an answer before its end closes its connection, waiting for the next piece may be given up and taken up again without
//! losing one. A connection is used twice only where [`Near::ask`] is told that it may, by the gateway, which asks once more
//! when not a byte came; servers that close after each answer, as mlx_lm.server does, are always asked on a new one.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::Full;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::platform::clock::timers;

/// An answer whose head has come.
pub(super) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// As the server says it.
    pub content_type: Option<String>,
    body: Body,
}

enum Body {
    Own {
        /// `None` once it has ended: what it read before is still in the body.
        link: Option<Box<Link>>,
        body: Incoming,
        /// Where the connection goes after the body's end.
        back: Option<(Sender, Arc<Kept>)>,
    },
    Theirs(Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>),
}

type Link = Connection<TokioIo<TcpStream>, Full<Bytes>>;
type Sender = SendRequest<Full<Bytes>>;

/// A connection whose last answer was read to its end.
#[derive(Default)]
struct Kept(Mutex<Option<(Sender, Box<Link>, Instant)>>);

/// A connection is not used again after this; servers keep idle ones for five seconds and more.
const KEPT: Duration = Duration::from_secs(2);

/// How long the end of a body may come after what its reader took for the last of it.
const TAIL: Duration = Duration::from_millis(20);

impl Kept {
    /// One that the server has not closed meanwhile.
    fn take(&self) -> Option<(Sender, Box<Link>)> {
        let (sender, mut link, since) = self.lock().take()?;
        let mut context = Context::from_waker(Waker::noop());
        let is_open = Pin::new(&mut link).poll(&mut context).is_pending() && sender.is_ready();
        (is_open && timers() < since + KEPT).then_some((sender, link))
    }

    fn give(&self, sender: Sender, link: Box<Link>) {
        *self.lock() = Some((sender, link, timers()));
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Sender, Box<Link>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Kept")
    }
}

/// The body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl Answer {
    /// The next piece of the body, `None` at its end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Broken>> {
        poll_fn(|context| self.body.poll(context)).await
    }

    /// The reader has what it wanted: where the body ends now, its connection may serve the next request.
    pub fn done(mut self) {
        let is_worth_it = matches!(
            &self.body,
            Body::Own {
                back: Some(_),
                link: Some(_),
                ..
            }
        );
        let mut context = Context::from_waker(Waker::noop());
        if is_worth_it && self.body.poll(&mut context).is_pending() {
            tokio::spawn(async move { timeout(TAIL, self.chunk()).await.is_ok() });
        }
    }
}

impl From<reqwest::Response> for Answer {
    fn from(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            content_type: content_type(response.headers()),
            body: Body::Theirs(Box::pin(response.bytes_stream())),
        }
    }
}

impl Body {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let (link, body, back) = match self {
            Self::Own { link, body, back } => (link, body, back),
            Self::Theirs(body) => {
                return body
                    .as_mut()
                    .poll_next(context)
                    .map(|piece| piece.map(|bytes| bytes.map_err(|_| Broken)));
            }
        };
        // The link first: it is what fills the body. Its own error is told by the body, too.
        if link
            .as_mut()
            .is_some_and(|link| Pin::new(link).poll(context).is_ready())
        {
            *link = None;
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) else {
                return Poll::Pending;
            };
            match frame {
                None => {
                    if let (Some(mut link), Some((sender, kept))) = (link.take(), back.take())
                        && Pin::new(&mut link).poll(context).is_pending()
                        && sender.is_ready()
                    {
                        kept.give(sender, link);
                    }
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
            }
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The connection never stood.
    Connect(std::io::Error),
    /// It stood, and then.
    Http(hyper::Error),
}

/// Where a server on this machine, or one whose address needs no name, listens.
#[derive(Debug, Clone)]
pub(super) struct Near {
    addresses: Vec<SocketAddr>,
    host: HeaderValue,
    kept: Arc<Kept>,
}

impl Near {
    /// `None` for what is better asked through reqwest.
    pub fn of(url: &Url) -> Option<Self> {
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let name = url.host_str()?;
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let hosts = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            // No resolver is asked, which would cost a thread: the name means this machine (RFC 6761, 6.3).
            Err(_) if name.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Err(_) => return None,
        };
        let port = url.port_or_known_default()?;
        let host = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        Some(Self {
            addresses: hosts
                .into_iter()
                .map(|host| SocketAddr::new(host, port))
                .collect(),
            host: HeaderValue::from_str(&host).ok()?,
            kept: Arc::default(),
        })
    }

    /// Asks and waits for the head of the answer, within `connect` for a new connection; `again` allows one that has served
    /// before.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn ask(
        &self,
        mut request: Request<Full<Bytes>>,
        connect: Duration,
        again: bool,
    ) -> Result<Answer, Failed> {
        request.headers_mut().insert(HOST, self.host.clone());
        let kept = if again { self.kept.take() } else { None };
        let (mut sender, link) = match kept {
            Some(kept) => kept,
            None => {
                let stream = timeout(connect, self.connect())
                    .await
                    .map_err(|_| Failed::Connect(std::io::ErrorKind::TimedOut.into()))?
                    .map_err(Failed::Connect)?;
                let (sender, link) = http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(Failed::Http)?;
                (sender, Box::new(link))
            }
        };
        let mut link = Some(link);
        let mut ended = None;
        let mut head = pin!(sender.send_request(request));
        let response = poll_fn(|context| {
            // Again after the link: a request that is only now handed over is sent at once.
            loop {
                if let Poll::Ready(head) = head.as_mut().poll(context) {
                    return Poll::Ready(head);
                }
                let Some(running) = &mut link else {
                    return Poll::Pending;
                };
                let Poll::Ready(result) = Pin::new(running).poll(context) else {
                    return head.as_mut().poll(context);
                };
                ended = result.err();
                link = None;
            }
        })
        .await;
        // What a link that ended leaves to the request is only that it ended.
        let response = response.map_err(|error| match ended {
            Some(cause) if error.is_canceled() => Failed::Http(cause),
            _ => Failed::Http(error),
        })?;
        let (head, body) = response.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: content_type(&head.headers),
            body: Body::Own {
                link,
                body,
                back: again.then(|| (sender, Arc::clone(&self.kept))),
            },
        })
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn near(url: &str) -> Option<Near> {
        Near::of(&Url::parse(url).expect("an address"))
    }

    #[test]
    fn only_what_needs_no_name_no_tls_and_no_credentials_is_asked_directly() {
        for direct in [
            "http://127.0.0.1:8080/v1",
            "http://localhost:11434",
            "http://[::1]:8080/v1",
            "http://192.168.1.20:1234/v1",
        ] {
            assert!(near(direct).is_some(), "{direct}");
        }
        for other in [
            "https://127.0.0.1:8080",
            "http://studio.local:8080",
            "http://me:secret@127.0.0.1:8080",
        ] {
            assert!(near(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_host_header_has_the_port_only_where_it_is_not_the_usual_one() {
        let host = |url| near(url).expect("direct").host;
        assert_eq!(host("http://[::1]:8080/v1"), "[::1]:8080");
        assert_eq!(host("http://127.0.0.1/v1"), "127.0.0.1");
    }

    /// Answers every request with the number of its connection; closes one `after` its last answer where that is said.
    async fn server(after: Option<Duration>) -> Near {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for connection in 0_u8.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut request = [0; 1_024];
                    while let Ok(1..) = stream.read(&mut request).await {
                        let answer =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{connection}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        if let Some(after) = after {
                            tokio::time::sleep(after).await;
                            return;
                        }
                    }
                });
            }
        });
        near(&url).expect("direct")
    }

    /// The connection that served a request.
    async fn asked(near: &Near, again: bool) -> String {
        let request = Request::new(Full::default());
        let answer = near.ask(request, Duration::from_secs(2), again).await;
        let mut answer = answer.expect("an answer");
        let piece = answer.chunk().await.expect("a body").expect("whole");
        answer.done();
        String::from_utf8(piece.to_vec()).expect("a digit")
    }

    #[tokio::test]
    async fn a_connection_serves_twice_only_where_that_is_allowed() {
        let near = server(None).await;
        assert_eq!(asked(&near, false).await, "0");
        assert_eq!(asked(&near, false).await, "1");
        assert_eq!(asked(&near, true).await, "2");
        assert_eq!(asked(&near, true).await, "2");
        assert_eq!(asked(&near, false).await, "3");
        assert_eq!(asked(&near, true).await, "2");
    }

    #[tokio::test]
    async fn one_that_the_server_has_closed_meanwhile_is_left() {
        let near = server(Some(Duration::from_millis(20))).await;
        assert_eq!(asked(&near, true).await, "0");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(asked(&near, true).await, "1");
    }

    #[tokio::test]
    async fn an_answer_that_is_left_before_its_end_closes_its_connection() {
        let near = server(None).await;
        let request = Request::new(Full::default());
        let answer = near.ask(request, Duration::from_secs(2), true).await;
        drop(answer.expect("an answer"));
        assert_eq!(asked(&near, true).await, "1");
    }
}
