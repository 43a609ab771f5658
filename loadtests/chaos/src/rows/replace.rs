//! lb takes up a new configuration, or gives its sockets to a new process.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::report::Row;
use crate::setup::UNRELATED_HOST;
use crate::stage::{Result, Stage};

/// For one reload, one hand-over: far more than they should take.
const LONGEST: Duration = Duration::from_secs(30);

/// Between two hand-overs.
const PAUSE: Duration = Duration::from_secs(2);

/// `count` reloads, each as soon as the one before it has been applied.
pub(super) async fn reload(stage: &mut Stage, count: u32, row: &mut Row) -> Result<()> {
    let applied_before = stage.watch.now().reloads_applied;
    let mut slowest = Duration::ZERO;
    for number in 1..=count {
        let generation = stage.lb.setup.generation + 1;
        let asked = Instant::now();
        stage.lb.reload(generation)?;
        let wanted = applied_before + f64::from(number);
        let deadline = asked + if number == 1 { Duration::from_secs(5) } else { LONGEST };
        let applied = stage
            .watch
            .until(deadline, |seen| seen.reloads_applied >= wanted || seen.reloads_failed > 0.0)
            .await;
        if applied.is_none() && number == 1 && stage.lb.ignores(Signal::SIGHUP) {
            row.not_run = Some("this lb does nothing on SIGHUP".to_owned());
            return Ok(());
        }
        let seen = stage.watch.now();
        if seen.reloads_applied < wanted {
            row.problems.push(format!("reload {number} was not counted as applied"));
            return Ok(());
        }
        slowest = slowest.max(asked.elapsed());
    }
    row.notes.push(format!("{count} reloads, the slowest {:.2} s", slowest.as_secs_f64()));
    let shown = generation_of(stage).await?;
    let wanted = stage.lb.setup.generation.to_string();
    if shown.as_deref() != Some(wanted.as_str()) {
        row.problems.push(format!("after reload {wanted}, requests see that of {shown:?}"));
    }
    Ok(())
}

/// What the configuration of now says about the unrelated host.
async fn generation_of(stage: &Stage) -> Result<Option<String>> {
    let asking = async {
        let stream = TcpStream::connect(stage.lb.setup.http).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get("/health")
            .header(header::HOST, UNRELATED_HOST)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let value = response.headers().get("x-generation").cloned();
        response.into_body().collect().await?;
        Result::Ok(value.and_then(|value| Some(value.to_str().ok()?.to_owned())))
    };
    timeout(LONGEST, asking).await?
}

/// `count` hand-overs; then the clients of tunnels move, and the old processes
/// have to end.
pub(super) async fn hand_over(stage: &mut Stage, count: u32, row: &mut Row) -> Result<()> {
    for number in 1..=count {
        let asked = Instant::now();
        if !stage.lb.hand_over(LONGEST).await? {
            if stage.lb.ignores(Signal::SIGUSR2) {
                row.not_run = Some("this lb does nothing on SIGUSR2".to_owned());
            } else {
                row.problems.push(format!("hand-over {number}: no new process"));
            }
            return Ok(());
        }
        row.was_back(Some(asked.elapsed()));
        stage.watch_anew();
        if stage.watch.until(Instant::now() + LONGEST, |seen| seen.are_all_in()).await.is_none() {
            row.problems.push(format!("hand-over {number}: the new process finds no endpoints"));
            return Ok(());
        }
        // So that every process has tunnels when the next one comes.
        stage.tunnels.renew_share(number as usize, count as usize + 1);
        sleep(PAUSE).await;
    }
    let waiting = stage.lb.predecessors()?;
    row.notes
        .push(format!("{waiting} old processes were there, with tunnels, until the clients moved"));

    // The drain timeout outlasts the row: what was cut until now, was cut for
    // another reason. Nothing keeps the old processes from now on.
    stage.tunnels.renew();
    let moved = Instant::now();
    while stage.lb.predecessors()? > 0 {
        if moved.elapsed() > LONGEST {
            let left = stage.lb.predecessors()?;
            row.problems.push(format!("{left} old processes are still there, without tunnels"));
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    let after = moved.elapsed().as_secs_f64();
    row.notes.push(format!("the last old process ended {after:.1} s after the tunnels had moved"));
    Ok(())
}
