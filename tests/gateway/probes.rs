//! Active health checks: what is sent, and what an answer changes.

use crate::harness::{
    Backend, Both, active, add_target, balanced, delete, eventually, eventually_true, get, merge,
    silent,
};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn tcp_probes_only_connect() {
    let both = Both::start();
    let (mut one, two) = (Backend::start("one"), Backend::start("two"));
    let checks = active(json!({"type": "tcp"}));
    balanced(|path| both.admin(path), "pool", &checks, &[&one, &two]);
    let address = one.address.to_string();
    one.answer(500);
    assert_eq!(both.health("pool")[&address], "HEALTHY");
    let mut answers: Vec<_> = (0..4).map(|_| both.proxy("/pool")).collect();
    answers.sort();
    answers.dedup();
    assert_eq!(answers, [(200, "two".into()), (500, "one".into())]);
    one.stop();
    both.wait_for_health("pool", &address, "UNHEALTHY");
    for _ in 0..4 {
        assert_eq!(both.proxy("/pool"), (200, "two".into()));
    }
    one.resume();
    both.wait_for_health("pool", &address, "HEALTHY");
    assert_eq!((one.probes(), two.probes()), (0, 0), "no request was sent");
}

#[test]
fn probes_ask_as_the_upstream_says() {
    let both = Both::start();
    let target = Backend::start("one");
    let fields = json!({"http_path": "/up/x", "headers": {"X-Probe": ["one", "two"]}});
    balanced(|path| both.admin(path), "pool", &active(fields), &[&target]);
    target.wait_for_probes(1);
    let address = target.address;
    assert_eq!(
        target.last_probe(),
        format!(
            "GET /up/x HTTP/1.0\r\nX-Probe: one\r\nX-Probe: two\r\nHost: {}\r\n\r\n",
            address.ip()
        )
    );
    both.patch("/upstreams/pool", &json!({"host_header": "a.test:81"}));
    eventually("the new Host is sent", || match target.last_probe() {
        sent if sent.contains("\r\nHost: a.test:81\r\n") => Ok(()),
        sent => Err(sent),
    });
}

#[test]
fn statuses_count_as_listed_and_as_often_as_asked() {
    let both = Both::start();
    let target = Backend::start("one");
    let fields = json!({
        "healthy": {"http_statuses": [204], "successes": 3},
        "unhealthy": {"http_statuses": [418], "http_failures": 3},
    });
    balanced(|path| both.admin(path), "pool", &active(fields), &[&target]);
    let address = target.address.to_string();
    let stays = |state: &str| {
        target.wait_for_probes(6);
        assert_eq!(both.health("pool")[&address], state);
    };
    target.answer(503);
    stays("HEALTHY");
    target.answer(418);
    both.wait_for_health("pool", &address, "UNHEALTHY");
    target.answer(200);
    stays("UNHEALTHY");
    target.answer(204);
    both.wait_for_health("pool", &address, "HEALTHY");
    // Without a limit nothing counts.
    let off = json!({"healthchecks": active(json!({"unhealthy": {
        "http_failures": 0, "tcp_failures": 0, "timeouts": 0,
    }}))});
    both.patch("/upstreams/pool", &off);
    both.health("pool");
    target.answer(418);
    stays("HEALTHY");
}

#[test]
fn an_interval_of_zero_sends_no_probe() {
    let both = Both::start();
    let (target, other) = (Backend::start("one"), Backend::start("two"));
    // Requests open the circuit, probes close it: nothing is probed while it is healthy.
    let mut checks = active(json!({"healthy": {"interval": 0}}));
    checks["passive"] = json!({"unhealthy": {"http_failures": 1, "http_statuses": [500]}});
    balanced(|path| both.admin(path), "pool", &checks, &[&target]);
    let address = target.address.to_string();
    assert_eq!(both.health("pool")[&address], "HEALTHY");
    // Another upstream's probes show that time goes by.
    balanced(
        |path| both.admin(path),
        "clock",
        &active(json!({})),
        &[&other],
    );
    other.wait_for_probes(5);
    assert_eq!(target.probes(), 0);
    target.answer(500);
    assert_eq!(both.proxy("/pool").0, 500);
    target.wait_for_probes(2);
    assert_eq!(both.health("pool")[&address], "UNHEALTHY");
    target.answer(200);
    both.wait_for_health("pool", &address, "HEALTHY");
    assert_eq!(both.proxy("/pool"), (200, "one".into()));
    let healed = target.probes();
    other.wait_for_probes(5);
    assert_eq!(target.probes(), healed);
}

#[test]
fn what_is_set_by_hand_outlives_a_change_of_the_upstream() {
    let both = Both::start();
    let (target, other) = (Backend::start("one"), Backend::start("two"));
    let rarely = json!({"healthy": {"interval": 3600}, "unhealthy": {"interval": 3600}});
    balanced(|path| both.admin(path), "pool", &active(rarely), &[&target]);
    balanced(
        |path| both.admin(path),
        "clock",
        &active(json!({})),
        &[&other],
    );
    let address = target.address.to_string();
    assert_eq!(both.health("pool")[&address], "HEALTHY");
    let path = format!("/upstreams/pool/targets/{address}/unhealthy");
    assert_eq!(both.put(&path).0, 204);
    both.patch("/upstreams/pool", &json!({"tags": ["t"]}));
    both.patch(
        &format!("/upstreams/pool/targets/{address}"),
        &json!({"weight": 7}),
    );
    assert_eq!(both.health("pool")[&address], "UNHEALTHY");
    // Another upstream's probes show that time goes by.
    other.wait_for_probes(5);
    assert_eq!(both.health("pool")[&address], "UNHEALTHY");
    assert_eq!(target.probes(), 1);
}

#[test]
fn a_silent_target_is_a_timeout() {
    let both = Both::start();
    let (_listener, address) = silent();
    let fields = json!({"timeout": 0.05, "unhealthy": {"tcp_failures": 0}});
    balanced(|path| both.admin(path), "pool", &active(fields), &[]);
    add_target(&both, "pool", address);
    both.wait_for_health("pool", &address.to_string(), "UNHEALTHY");
}

#[test]
fn a_silent_target_holds_up_no_other() {
    let both = Both::start();
    let (_listener, address) = silent();
    let mut alive = Backend::start("one");
    let fields = json!({"timeout": 60_000, "concurrency": 2});
    balanced(|path| both.admin(path), "pool", &active(fields), &[&alive]);
    alive.wait_for_probes(1);
    add_target(&both, "pool", address);
    alive.wait_for_probes(5);
    alive.stop();
    both.wait_for_health("pool", &alive.address.to_string(), "UNHEALTHY");
    // What the upstream is told to do holds at once, for the silent one, too.
    let short = json!({"healthchecks": active(json!({"timeout": 0.05}))});
    both.patch("/upstreams/pool", &short);
    both.wait_for_health("pool", &address.to_string(), "UNHEALTHY");
}

#[test]
fn no_more_probes_run_at_a_time_than_the_upstream_allows() {
    let both = Both::start();
    let (now, most, served) = (Arc::default(), Arc::default(), Arc::default());
    let addresses = (0..4).map(|_| {
        let (listener, address) = silent();
        let now: Arc<AtomicUsize> = Arc::clone(&now);
        let most: Arc<AtomicUsize> = Arc::clone(&most);
        let served: Arc<AtomicUsize> = Arc::clone(&served);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                now.fetch_sub(1, Ordering::SeqCst);
                served.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            }
        });
        address
    });
    let fields = json!({"concurrency": 1, "healthy": {"interval": 0.01}});
    balanced(|path| both.admin(path), "pool", &active(fields), &[]);
    for address in addresses {
        add_target(&both, "pool", address);
    }
    eventually_true("probes come", || served.load(Ordering::SeqCst) > 100);
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn an_answer_is_read_no_further_than_its_first_line() {
    let both = Both::start();
    // An endless header, an endless line, no HTTP, and half a line.
    for (n, (answer, fields, state)) in [
        ("HTTP/1.1 200 OK\r\nX: ", json!({}), "HEALTHY"),
        ("HTTP/1.1 200 ", json!({}), "HEALTHY"),
        (
            "SSH-2.0-x\r\n",
            json!({"unhealthy": {"tcp_failures": 0}}),
            "UNHEALTHY",
        ),
        (
            "\r\n",
            json!({"unhealthy": {"tcp_failures": 0}}),
            "UNHEALTHY",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (listener, address) = silent();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let _ = stream.write_all(answer.as_bytes());
                // For as long as it is read.
                while stream.write_all(&[b'x'; 4096]).is_ok() {}
            }
        });
        let name = format!("u{n}");
        let mut all = json!({"timeout": 60_000});
        merge(&mut all, fields);
        balanced(|path| both.admin(path), &name, &active(all), &[]);
        add_target(&both, &name, address);
        assert_eq!(
            both.health(&name)[&address.to_string()],
            state,
            "{answer:?}"
        );
    }
}

#[test]
fn probes_end_with_their_target() {
    let both = Both::start();
    let (gone, stays) = (Backend::start("gone"), Backend::start("stays"));
    balanced(
        |path| both.admin(path),
        "pool",
        &active(json!({})),
        &[&gone, &stays],
    );
    gone.wait_for_probes(2);
    let path = format!("/upstreams/pool/targets/{}", gone.address);
    delete(&both.admin(&path)).expect("an answer").expect(204);
    assert_eq!(both.health("pool").len(), 1);
    // One may be under way.
    stays.wait_for_probes(2);
    let at_the_end = gone.probes();
    stays.wait_for_probes(20);
    assert_eq!(gone.probes(), at_the_end);
    // Without a weight there is no probe either.
    let path = format!("/upstreams/pool/targets/{}", stays.address);
    both.patch(&path, &json!({"weight": 0}));
    let page = get(&both.admin("/upstreams/pool/health?balancer_health=1"));
    let page = page.expect("an answer").expect(200);
    assert_eq!(page["data"]["balancer_health"], "UNHEALTHY");
    assert_eq!(both.proxy("/pool").0, 503);
}
