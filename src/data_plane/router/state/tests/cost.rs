//! What one change costs.

use super::*;

/// `n` routes of every shape on ten services, as one change.
fn many(n: u128) -> Vec<Op> {
    let routes = (0..n).map(|at| {
        let fields = match at % 4 {
            0 => json!({ "hosts": [format!("h{at}.test")], "service": to(at % 10 + 1) }),
            1 => json!({ "paths": [format!("/p{at}/x")], "service": to(at % 10 + 1) }),
            2 => json!({ "hosts": [format!("*.h{at}.test")], "paths": ["/a", "/ab"], "service": to(at % 10 + 1) }),
            _ => json!({ "hosts": ["one.test"], "paths": [format!("/q{at}")], "methods": ["GET"], "service": to(at % 10 + 1) }),
        };
        route(1000 + at, fields)
    });
    (1..=10)
        .map(|n| service(n, json!({})))
        .chain(routes)
        .collect()
}

#[test]
fn one_change_costs_the_same_at_a_thousand_and_at_a_hundred_thousand_routes() {
    let costs = [1_000, 100_000].map(|n| {
        let (mut control_plane, mut state) = (Config::default(), state());
        control_plane.commit(Revision(1), many(n));
        let first = state.replace(control_plane.clone(), 0.0);
        assert_eq!(first.work.compiled as u128, n + 10);
        assert_eq!(held(&first), []);
        let mut works = Vec::new();
        let mut cost = |ops| {
            let change = control_plane.commit(control_plane.revision().next(), ops);
            works.push(state.apply(&change, 0.0).expect("the change applies").work);
        };
        cost(vec![route(
            1001,
            json!({ "paths": ["/changed", "/in/two"], "service": to(1) }),
        )]);
        cost(vec![route(
            1003,
            json!({ "hosts": ["one.test"], "paths": ["/q3"], "service": to(1) }),
        )]);
        cost(vec![route(
            7,
            json!({ "hosts": ["new.test", "*.new.test"], "paths": ["~/x/\\d+"] }),
        )]);
        cost(vec![delete(Kind::Routes, 7)]);
        cost(vec![service(1, json!({ "port": 81 }))]);
        cost(vec![plugin(8, json!({ "service": to(1) }))]);
        // One that is broken, and its end.
        cost(vec![service(1, json!({ "protocol": "smtp" }))]);
        cost(vec![service(1, json!({ "port": 82 }))]);
        works
    });
    assert_eq!(costs[0], costs[1]);
    let expected = [
        (1, 1 + 2),
        (1, 1 + 1),
        (1, 2),
        (0, 2),
        (1, 2),
        (1, 1),
        (1, 0),
        (1, 2),
    ];
    assert_eq!(
        costs[0],
        expected.map(|(compiled, written)| Work { compiled, written })
    );
}
