//! Laws that hold for every document.

use super::*;

proptest! {
    /// Services with routes, in any order and nesting, give one configuration.
    #[test]
    fn the_way_of_writing_does_not_matter(
        routes in proptest::collection::vec((0usize..4, any::<bool>()), 0..12),
        reversed in any::<bool>(),
    ) {
        let route = |n: usize| json!({"name": format!("r{n}"), "paths": [format!("/{n}")]});
        let mut nested: Vec<Value> = (0..4).map(|n| json!({"name": format!("s{n}"), "host": "h", "routes": []})).collect();
        let mut mixed = nested.clone();
        let mut flat = Vec::new();
        for (n, (service, nest)) in routes.iter().enumerate() {
            let push = |services: &mut Vec<Value>| {
                if let Value::Array(routes) = &mut services[*service]["routes"] {
                    routes.push(route(n));
                }
            };
            push(&mut nested);
            if *nest {
                push(&mut mixed);
                continue;
            }
            let mut route = route(n);
            route["service"] = json!(format!("s{service}"));
            flat.push(route);
        }
        if reversed {
            mixed.reverse();
            flat.reverse();
        }
        let nested = json!({"_format_version": "3.0", "services": nested});
        let mixed = json!({"routes": flat, "services": mixed, "_format_version": "3.0"});
        let config = |document: &Value| Config::from_rows(Revision(0), declared(&document.to_string()).rows());
        prop_assert_eq!(config(&nested).digest(), config(&mixed).digest());
        prop_assert_eq!(config(&nested).len(), 4 + routes.len());
    }

    /// No text brings the reader down.
    #[test]
    fn any_text_has_an_answer(text in r#"(?s)[-:{}\[\]&*!|>'"%#,?@~ \na-c_0-9<]{0,60}"#) {
        let rows = with_env(|env| parse(&text, env)).map(|declared| declared.entities.len());
        prop_assert!(rows.is_err() || rows == Ok(0));
    }
}
