//! The admin server, and that whoever asks gets the same report.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::scene::{Yaml, origin, start};
use crate::support::{Client, Lb, RawConnection};

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_how_to_ask_is_refused() {
    let (origin, _) = origin("x").await;
    let lb = start(&Yaml::new(&origin)).await;
    let address = lb.admin().await;
    let with = "X-LB-Admin: 1\r\n";
    for (method, host, more) in [
        ("POST", "127.0.0.1", ""),
        ("GET", "127.0.0.1", ""),
        ("POST", "127.0.0.1", "X-LB-Admin: yes\r\n"),
        ("POST", "evil.test", with),
        ("GET", "evil.test", with),
        ("POST", "localhost.evil.test", with),
        (
            "OPTIONS",
            "127.0.0.1",
            "Origin: http://evil.test\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-lb-admin\r\n",
        ),
    ] {
        let head = format!(
            "{method} /api/reload HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n"
        );
        let answer = RawConnection::exchange(address, &head).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{head}{answer}");
        assert!(!answer.to_lowercase().contains("access-control-allow"), "{answer}");
    }
    assert_eq!(lb.reloads().await, 0.0);
    for host in ["127.0.0.1", "localhost:1", "[::1]:9901"] {
        let head =
            format!("GET /api/reload HTTP/1.1\r\nHost: {host}\r\n{with}Connection: close\r\n\r\n");
        let answer = RawConnection::exchange(address, &head).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "none yet: {answer}");
    }
    for (head, expected) in [("DELETE /api/reload", "405"), ("GET /", "404")] {
        let text = format!("{head} HTTP/1.1\r\nHost: localhost\r\n{with}Connection: close\r\n\r\n");
        let answer = RawConnection::exchange(address, &text).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{head}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_status_says_whether_the_file_is_in_use() {
    let (origin, _) = origin("x").await;
    let yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    let (status, applied) = lb.post_reload().await;
    assert_eq!((status, &applied["outcome"]), (200, &Value::from("applied")));
    assert_eq!(applied, lb.last_reload().await);
    lb.rewrite(&yaml.to_string().replace("upstream: api", "upstream: apii"));
    let (status, failed) = lb.post_reload().await;
    assert_eq!((status, &failed["outcome"]), (422, &Value::from("failed")));
    assert_eq!(failed, lb.last_reload().await);
    let message = failed["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("did you mean \"api\"?"), "{message}");
}

/// Whoever asks: the same, but for who, when and how long.
#[tokio::test(flavor = "multi_thread")]
async fn every_trigger_gives_the_same_report() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    yaml.top("reload", "{ watch: true }");
    let lb = start(&yaml).await;
    let mut good = yaml.clone();
    good.upstream("unused", &[origin.address]).top("workers", "77");
    let mut bad = yaml.clone();
    bad.route("*", "match: { path_prefix: /x }, upstream: nobody").limit("l", "rate: 5");
    for (outcome, other) in [("applied", &good), ("failed", &bad)] {
        let mut reports = Vec::new();
        for trigger in ["SIGHUP", "POST /api/reload", "file changed"] {
            lb.reload(&yaml.to_string()).await;
            let before = lb.reloads().await;
            lb.rewrite(&other.to_string());
            match trigger {
                "SIGHUP" => drop(lb.hup().await),
                "POST /api/reload" => drop(lb.post_reload().await),
                _ => lb.metric_becomes("lb_config_reloads_total", &[], before + 1.0).await,
            }
            let mut report = lb.last_reload().await;
            assert_eq!(report["trigger"], trigger);
            assert_eq!(report["outcome"], outcome, "{report:#}");
            let Value::Object(fields) = &mut report else { panic!("{report:#}") };
            for varies in ["trigger", "time", "took_ms"] {
                assert!(fields.remove(varies).is_some(), "{varies}");
            }
            reports.push(report);
        }
        assert!(!reports[0]["problems"].as_array().unwrap().is_empty());
        assert!(reports.iter().all(|report| *report == reports[0]), "{reports:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_answered() {
    let (origin, _) = origin("x").await;
    let lb = start(&Yaml::new(&origin)).await;
    let url = lb.admin_url().await;
    let asking: Vec<_> = (0..64)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let request = Client::plain().0.post(url).header("x-lb-admin", "1");
                request.send().await.unwrap().status().as_u16()
            })
        })
        .collect();
    let mut applied = 0.0;
    for answer in asking {
        match answer.await.unwrap() {
            200 => applied += 1.0,
            // Too many wait already.
            503 => {}
            other => panic!("{other}"),
        }
    }
    assert!(applied >= 1.0);
    assert_eq!(lb.metric("lb_config_reloads_total", &["outcome=\"applied\""]).await, applied);
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "x");
}

async fn over_unix(lb: &Lb, method: &str) -> String {
    let mut stream = UnixStream::connect(lb.path("admin.sock")).await.unwrap();
    // The Host of whoever uses a path says nothing, as curl's does.
    let head = format!(
        "{method} /api/reload HTTP/1.1\r\nHost: any\r\nX-LB-Admin: 1\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_and_goes_with_the_configuration_and_a_path_is_only_ours() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    let tcp = lb.admin().await;
    let path = lb.path("admin.sock");
    yaml.top("admin", &format!("{{ address: \"unix:{}\" }}", path.display()));
    lb.rewrite(&yaml.to_string());
    // The one who asked is answered, though its server ends.
    let (status, report) = lb.post_reload().await;
    assert_eq!(status, 200, "{report:#}");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(over_unix(&lb, "POST").await.starts_with("HTTP/1.1 200 "));
    crate::support::eventually("the old address to be closed", || {
        std::net::TcpStream::connect(tcp).is_err().then_some(())
    })
    .await;
    // Away and back.
    yaml.top.remove("admin");
    lb.rewrite(&yaml.to_string());
    assert!(over_unix(&lb, "POST").await.starts_with("HTTP/1.1 200 "));
    crate::support::eventually("nobody to be there", || {
        std::os::unix::net::UnixStream::connect(&path).is_err().then_some(())
    })
    .await;
    yaml.top("admin", &format!("{{ address: \"unix:{}\" }}", path.display()));
    lb.rewrite(&yaml.to_string());
    let before = lb.reloads().await;
    lb.signal("HUP");
    lb.metric_becomes("lb_config_reloads_total", &[], before + 1.0).await;
    assert!(over_unix(&lb, "GET").await.contains("\"applied\""));
}
