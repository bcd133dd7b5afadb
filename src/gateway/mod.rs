//! The inference gateway: the one resident model, for every program of this machine, in two dialects.
//!
//! Edge. [`bind`] takes the address, [`serve`] answers on it from tasks of its own until it is told to stop. The core is
//! [`admission`] (who runs, who waits, who is refused), [`door`] (who may come in), and the dialects: [`ask`], [`translate`],
//! [`shape`], [`collect`], [`resume`]. Around it: [`gate`] (admission as futures), [`source`] (the resident backend),
//! [`residency`] says which server is resident, [`servers`] and [`supervisor`] start and stop them;
//! [`relay`] (one request), [`routes`], [`catalogue`], [`sound`], [`embed`], [`token`].
//!
//! What is heard and said reaches it as closures from the wiring. It opens no file but the token's, logs no word of any
//! request, and lets go of the model within a token of a client's leaving.

pub mod admission;
pub mod ask;
pub mod catalogue;
pub mod collect;
pub mod door;
pub mod embed;
pub mod failure;
pub mod gate;
pub mod relay;
pub mod residency;
pub mod resume;
pub mod routes;
pub mod servers;
pub mod shape;
pub mod sound;
pub mod source;
pub mod supervisor;
pub mod token;
pub mod translate;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use door::Door;
use failure::Failure;
use gate::Gate;
use sound::{Hear, Say};
use source::Resident;

/// What a gateway works with.
pub struct Parts {
    /// Who may come in.
    pub door: Door,
    /// The places at the model.
    pub gate: Arc<Gate>,
    /// The places at the ear and the voice.
    pub sound: Arc<Gate>,
    /// Who answers.
    pub resident: Arc<Resident>,
    /// The ear.
    pub hear: Option<Hear>,
    /// The voice.
    pub say: Option<Say>,
}

/// What every request's task shares.
pub struct Shared {
    door: Door,
    gate: Arc<Gate>,
    sound: Arc<Gate>,
    resident: Arc<Resident>,
    hear: Option<Hear>,
    say: Option<Say>,
    /// Bodies that are being read, in KiB.
    bodies: Arc<Semaphore>,
    counter: AtomicU64,
}

/// Why the address cannot be had. The rest of Hark works without it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program, or another Hark, has it. Stop that one, or choose another address.
    #[error(
        "{address} is in use by another program; stop it (perhaps another `hark run` or `hark gateway`), or choose another address with gateway.listen"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system refuses it. Choose another address.
    #[error(
        "the gateway cannot listen on {address}: {source}; choose another address with gateway.listen"
    )]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Connections at a time.
const CONNECTIONS: usize = 1_024;

/// All bodies together, in KiB: 512 MiB.
const BODIES_KIB: usize = 512 << 10;

/// Time for a request's headers; an idle connection is closed after it, too.
const HEADERS: Duration = Duration::from_secs(15);

/// Headers of a request, and their bytes.
const MOST_HEADERS: usize = 64;
const HEADER_BYTES: usize = 64 << 10;

/// How long running replies may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// Takes the address.
///
/// # Errors
/// See [`BindError`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Refused { address, source },
        })
}

/// Answers until `shutdown`, then lets running replies end for two seconds and cuts the rest.
pub async fn serve(listener: TcpListener, parts: Parts, shutdown: CancellationToken) {
    let shared = Arc::new(Shared {
        door: parts.door,
        gate: parts.gate,
        sound: parts.sound,
        resident: parts.resident,
        hear: parts.hear,
        say: parts.say,
        bodies: Arc::new(Semaphore::new(BODIES_KIB)),
        counter: AtomicU64::new(0),
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = async { (place.await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                let shared = Arc::clone(&shared);
                let stop = shutdown.clone();
                connections.spawn(async move {
                    connection(stream, shared, stop).await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                // Too many open files, most likely: time helps, and a busy loop does not.
                tracing::warn!(%error, "the gateway cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    shared.gate.close();
    shared.sound.close();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::info!("replies were cut at shutdown");
    }
    // Dropping a connection ends its relay.
    connections.shutdown().await;
}

/// A connection and the work for its request are one task: what comes from the backend is written to the client in the same
/// breath, without another task to wake between them, and the work ends with the connection.
async fn connection(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
    }
    let work = Work::default();
    let service = {
        let work = work.clone();
        service_fn(move |request| {
            let (shared, work) = (Arc::clone(&shared), work.clone());
            async move { Ok::<_, Infallible>(routes::answer(shared, request, work).await) }
        })
    };
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_headers(MOST_HEADERS)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stopped = pin!(stop.cancelled());
    let mut stopping = false;
    let ended = poll_fn(|context| {
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        loop {
            work.go_on(context);
            let polled = connection.as_mut().poll(context);
            if polled.is_ready() || !work.is_new() {
                return polled;
            }
        }
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// What a connection works on beside its reading and writing: the relay of its request.
#[derive(Clone, Default)]
pub struct Work {
    state: Arc<Mutex<Job>>,
}

#[derive(Default)]
struct Job {
    /// `None` when there is nothing to do.
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// It has not been polled yet.
    is_new: bool,
}

impl Work {
    /// Begins `future`; an earlier one, which has nobody to read its pieces any more, is dropped.
    fn begin(&self, future: impl Future<Output = ()> + Send + 'static) {
        *self.lock() = Job {
            future: Some(Box::pin(future)),
            is_new: true,
        };
    }

    fn is_new(&self) -> bool {
        self.lock().is_new
    }

    fn go_on(&self, context: &mut Context<'_>) {
        let mut job = self.lock();
        job.is_new = false;
        if job
            .future
            .as_mut()
            .is_some_and(|future| future.as_mut().poll(context).is_ready())
        {
            job.future = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Job> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A number that no other request has, and that cannot be guessed.
    fn number(&self) -> u64 {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        getrandom::u64().unwrap_or(count)
    }

    /// Room for a part of a body.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let kib = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies)
            .try_acquire_many_owned(kib)
            .map_err(|_| Failure {
                retry_after: Some(Duration::from_secs(1)),
                ..Failure::new(
                    503,
                    "api_error",
                    "busy",
                    "too many large requests are being read",
                )
            })
    }
}
