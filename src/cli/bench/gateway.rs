//! `hark bench gateway`: what the gateway adds to the latency of the first content and of each token, and whether its memory
//! stays flat.
//!
//! A scripted server on this machine streams tokens that carry the time at which they were sent. Clients ask it directly and
//! through a `hark gateway` of its own process, in turns, so that both ways see the same machine; each opens a new
//! connection for each request, on both ways. Every percentile is of one way's own figures, and what is added is their
//! difference. Starts are spread evenly: it is no test of a burst, which `tests/gateway/crowd.rs` is. The scripted server and
//! the clients share one process with this command, and the machine with the gateway.

mod client;
mod upstream;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::platform::clock::Clock;
use client::{Target, ask};
use upstream::Script;

/// Latency that the gateway adds, and its memory over many requests.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark bench gateway\n  hark bench gateway --clients 1,50 --memory-requests 0 --json"
)]
pub struct GatewayBenchArgs {
    /// Numbers of clients at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 200])]
    clients: Vec<usize>,
    /// Seconds for each number of clients (a single one gets at least 100 requests on each way)
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Tokens of a reply
    #[arg(long, default_value_t = 20)]
    tokens: usize,
    /// Milliseconds between two tokens
    #[arg(long, default_value_t = 20)]
    token_ms: u64,
    /// The scripted server closes each connection after its answer, as mlx_lm.server does; else it keeps it, as Ollama and
    /// llama-server do
    #[arg(long)]
    closing: bool,
    /// Requests over which the gateway's memory is watched; 0 leaves that out
    #[arg(long, default_value_t = 100_000)]
    memory_requests: usize,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Found {
    tokens: usize,
    token_ms: u64,
    latency: Vec<Level>,
    memory: Option<Memory>,
}

/// What a number of clients saw, in milliseconds.
#[derive(Debug, Serialize)]
struct Level {
    clients: usize,
    requests: usize,
    first_content: Both,
    token: Both,
}

#[derive(Debug, Serialize)]
struct Both {
    direct: Percentiles,
    gateway: Percentiles,
    added: Percentiles,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Percentiles {
    p50_ms: f64,
    p99_ms: f64,
}

/// The gateway's resident memory, in bytes.
#[derive(Debug, Serialize)]
struct Memory {
    requests: usize,
    seconds: f64,
    /// Before the first of them.
    at_start_bytes: u64,
    /// After a twentieth, when every buffer has been made.
    warm_bytes: u64,
    /// The most that was seen after that.
    most_bytes: u64,
    at_end_bytes: u64,
    /// Processor time of the gateway for one of them: what it costs whatever else the machine does.
    cpu_ms_each: f64,
}

/// Runs the verb.
///
/// # Errors
/// The gateway does not start, or a request fails.
pub fn run(args: &GatewayBenchArgs) -> anyhow::Result<()> {
    let clock = Clock::start();
    let script = Script {
        tokens: args.tokens.max(1),
        gap: Duration::from_millis(args.token_ms),
        closes: args.closing,
    };
    let upstream = upstream::start(clock, script)?;
    let mut gateway = Gateway::start(upstream)?;
    // One thread for all clients: several would wake each other for every token, on the cores that the gateway needs.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(measure(args, clock, upstream, &mut gateway))?;
    super::print("gateway", args.json, &found, table)
}

async fn measure(
    args: &GatewayBenchArgs,
    clock: Clock,
    upstream: SocketAddr,
    gateway: &mut Gateway,
) -> anyhow::Result<Found> {
    let direct = Target {
        address: upstream,
        token: None,
    };
    let through = Target {
        address: gateway.address,
        token: Some(gateway.token.clone()),
    };
    gateway.wait(&through).await?;
    let mut latency = Vec::new();
    for clients in &args.clients {
        eprintln!("{clients} clients …");
        let ways = [direct.clone(), through.clone()];
        latency.push(level(args, clock, (*clients).max(1), ways).await?);
    }
    let memory = if args.memory_requests > 0 {
        eprintln!("memory over {} requests …", args.memory_requests);
        Some(memory(args.memory_requests, clock, &through, gateway).await?)
    } else {
        None
    };
    Ok(Found {
        tokens: args.tokens,
        token_ms: args.token_ms,
        latency,
        memory,
    })
}

/// Milliseconds, of first contents and of all later tokens, on each way.
#[derive(Default)]
struct Seen {
    first: [Vec<f64>; 2],
    tokens: [Vec<f64>; 2],
}

async fn level(
    args: &GatewayBenchArgs,
    clock: Clock,
    clients: usize,
    ways: [Target; 2],
) -> anyhow::Result<Level> {
    let reply = Duration::from_millis(args.token_ms) * u32::try_from(args.tokens)?;
    let in_time =
        Duration::from_secs(args.seconds).as_secs_f64() / (2.0 * reply.as_secs_f64().max(0.001));
    let each = (in_time as usize).max(100_usize.div_ceil(clients));
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let ways = ways.clone();
        // Half of the clients begin with one way, half with the other.
        let delay = reply * u32::try_from(number)? / u32::try_from(clients)?;
        tasks.spawn(async move {
            tokio::time::sleep(delay).await;
            let mut seen = Seen::default();
            for round in 0..each * 2 {
                let way = (round + number) % 2;
                let heard = ask(&ways[way], clock, false).await?;
                seen.first[way].push(heard.first_ms);
                seen.tokens[way].extend(heard.token_ms);
            }
            anyhow::Ok(seen)
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen??;
        for (way, (first, tokens)) in seen.first.into_iter().zip(seen.tokens).enumerate() {
            all.first[way].extend(first);
            all.tokens[way].extend(tokens);
        }
    }
    Ok(Level {
        clients,
        requests: each * clients,
        first_content: both(&mut all.first),
        token: both(&mut all.tokens),
    })
}

fn both(ways: &mut [Vec<f64>; 2]) -> Both {
    let [direct, gateway] = ways;
    let (direct, gateway) = (percentiles(direct), percentiles(gateway));
    Both {
        direct,
        gateway,
        added: Percentiles {
            p50_ms: gateway.p50_ms - direct.p50_ms,
            p99_ms: gateway.p99_ms - direct.p99_ms,
        },
    }
}

fn percentiles(times: &mut [f64]) -> Percentiles {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or(f64::NAN)
    };
    Percentiles {
        p50_ms: at(0.50),
        p99_ms: at(0.99),
    }
}

/// Clients at a time while memory is watched.
const CROWD: usize = 16;

async fn memory(
    requests: usize,
    clock: Clock,
    target: &Target,
    gateway: &Gateway,
) -> anyhow::Result<Memory> {
    let at_start_bytes = gateway.resident()?;
    let worked = gateway.cpu_seconds()?;
    let (mut warm_bytes, mut most_bytes) = (0, 0);
    let began = clock.now();
    let slices = 20;
    for slice in 0..slices {
        let mut tasks = JoinSet::new();
        for _ in 0..CROWD {
            let target = target.clone();
            tasks.spawn(async move {
                for _ in 0..requests.div_ceil(slices * CROWD) {
                    ask(&target, clock, true).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let now = gateway.resident()?;
        if slice == 0 {
            warm_bytes = now;
        }
        most_bytes = most_bytes.max(now);
    }
    let requests = requests.div_ceil(slices * CROWD) * slices * CROWD;
    Ok(Memory {
        requests,
        cpu_ms_each: (gateway.cpu_seconds()? - worked) * 1e3 / requests as f64,
        seconds: clock.now().since(began).as_secs_f64(),
        at_start_bytes,
        warm_bytes,
        most_bytes,
        at_end_bytes: gateway.resident()?,
    })
}

fn table(found: &Found) -> String {
    let mut out = format!(
        "replies of {} tokens, {} ms apart; milliseconds\n\n{:>8}  {:<14} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}\n",
        found.tokens,
        found.token_ms,
        "clients",
        "",
        "direct p50",
        "p99",
        "gateway p50",
        "p99",
        "added p50",
        "p99"
    );
    let mut row = |clients: usize, what: &str, both: &Both| {
        let Both {
            direct,
            gateway,
            added,
        } = both;
        writeln!(
            out,
            "{clients:>8}  {what:<14} {:>10.3} {:>10.3} {:>11.3} {:>10.3} {:>10.3} {:>10.3}",
            direct.p50_ms,
            direct.p99_ms,
            gateway.p50_ms,
            gateway.p99_ms,
            added.p50_ms,
            added.p99_ms
        )
        .expect("writing to a string cannot fail");
    };
    for level in &found.latency {
        row(level.clients, "first content", &level.first_content);
        row(level.clients, "each token", &level.token);
    }
    if let Some(memory) = &found.memory {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            out,
            "\nmemory over {} requests ({:.0} s, {:.3} ms of processor time each): {:.1} MiB at start, {:.1} warm, {:.1} at most, {:.1} at the end",
            memory.requests,
            memory.seconds,
            memory.cpu_ms_each,
            mib(memory.at_start_bytes),
            mib(memory.warm_bytes),
            mib(memory.most_bytes),
            mib(memory.at_end_bytes)
        )
        .expect("writing to a string cannot fail");
    }
    out
}

/// A `hark gateway` of its own, in a home of its own, before the scripted server.
struct Gateway {
    child: Child,
    home: std::path::PathBuf,
    address: SocketAddr,
    token: String,
}

impl Gateway {
    fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let home = std::env::temp_dir().join(format!("hark-bench-{}", std::process::id()));
        std::fs::create_dir_all(&home)
            .with_context(|| format!("cannot make the folder {}", home.display()))?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let token = crate::gateway::token::read_or_make(&home.join("gateway.token"))?;
        let child = Command::new(std::env::current_exe()?)
            .args(["gateway", "--listen", &address.to_string()])
            .env("HARK_HOME", &home)
            .env("HARK_LLM_BACKEND", "openai")
            .env("HARK_LLM_OPENAI_URL", format!("http://{upstream}/v1"))
            .env("HARK_LLM_OPENAI_MODEL", "scripted")
            .env("HARK_GATEWAY_SLOTS", "1024")
            .env("HARK_LOG_LEVEL", "error")
            .stdout(Stdio::null())
            .spawn()
            .context("the gateway cannot be started")?;
        Ok(Self {
            child,
            home,
            address,
            token: token.into_inner(),
        })
    }

    async fn wait(&mut self, target: &Target) -> anyhow::Result<()> {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended early: {status}");
            }
            if tokio::net::TcpStream::connect(target.address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the gateway did not start within 12 s")
    }

    /// As the system's own tool tells it.
    fn told(&self, what: &str) -> anyhow::Result<String> {
        let pid = self.child.id().to_string();
        let told = Command::new("ps").args(["-o", what, "-p", &pid]).output()?;
        Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    }

    fn resident(&self) -> anyhow::Result<u64> {
        let kib: u64 = self
            .told("rss=")?
            .parse()
            .context("`ps` does not tell the gateway's memory")?;
        Ok(kib * 1_024)
    }

    /// Processor time so far, to a second or better: "1:02.34" on macOS, "00:01:02" on Linux.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let told = self.told("time=")?;
        told.split([':', '-']).try_fold(0.0, |seconds, part| {
            let part: f64 = part
                .parse()
                .context("`ps` does not tell the gateway's processor time")?;
            Ok(seconds * 60.0 + part)
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait().map(drop));
        let removed = remove(&self.home);
        if let Err(error) = ended.and(removed) {
            tracing::warn!(%error, "the bench's gateway was not put away");
        }
    }
}

fn remove(home: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(home)
}
