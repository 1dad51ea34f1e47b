//! Headers that are read and written, in every format.

use super::extract::Headers;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
const SPAN: &str = "a2fb4a1d1a96d312";

const FORMATS: [Format; 8] = [
    Format::W3c,
    Format::B3,
    Format::B3Single,
    Format::Jaeger,
    Format::Ot,
    Format::Datadog,
    Format::Aws,
    Format::Gcp,
];

/// Lower-case names and values.
#[derive(Debug, Default)]
struct Given(BTreeMap<String, String>);

impl Given {
    /// From `name: value` lines.
    fn of(text: &str) -> Given {
        let lines = text.split('\n').filter_map(|line| line.split_once(": "));
        Given(
            lines
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
        )
    }
}

impl Headers for Given {
    fn get<'h>(&'h self, name: &'h str) -> Option<&'h str> {
        self.0.get(name).map(String::as_str)
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.0.iter().for_each(|(name, value)| visit(name, value));
    }
}

fn preserving(default: Format) -> Propagation {
    Propagation::new(
        &PropagationConfig::default(),
        Some(HeaderType::Preserve),
        default,
    )
}

fn written(propagation: &Propagation, extracted: &Extracted, injected: &Injected) -> Given {
    let mut found = Given::default();
    propagation.inject_into(extracted, injected, &mut |name, value| {
        if let Some(value) = value {
            found.0.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    });
    found
}

fn injected(trace: TraceId, sampled: bool) -> Injected {
    Injected {
        trace,
        span: SpanId([1; 8]),
        parent: Some(SpanId([2; 8])),
        sampled,
        debug: false,
    }
}

#[test]
fn what_a_client_says_is_understood() {
    let check =
        |text: &str, trace: Option<&str>, span: Option<&str>, parent: Option<&str>, sampled| {
            let found = preserving(Format::W3c).extract_from(&Given::of(text));
            let shown = |span: Option<SpanId>| span.map(|span| span.to_string());
            assert_eq!(found.trace.map(TraceId::long).as_deref(), trace, "{text}");
            assert_eq!(shown(found.span).as_deref(), span, "{text}");
            assert_eq!(shown(found.parent).as_deref(), parent, "{text}");
            assert_eq!(found.sampled, sampled, "{text}");
            found
        };
    let (trace, span) = (Some(TRACE), Some(SPAN));
    let padded = Some("0000000000000000463ac35c9f6413ad");
    let parent = Some("0020000000000001");
    let (yes, no) = (Some(true), Some(false));
    check(
        &format!("traceparent: 00-{TRACE}-{SPAN}-01"),
        trace,
        span,
        None,
        yes,
    );
    check(
        &format!("traceparent: 00-{TRACE}-{SPAN}-00\ntracestate: a=b"),
        trace,
        span,
        None,
        no,
    );
    for bad in [
        format!("traceparent: 01-{TRACE}-{SPAN}-01"),
        format!("traceparent: ff-{TRACE}-{SPAN}-01"),
        format!("traceparent: 00-{TRACE}-{SPAN}-01-x"),
        format!("traceparent: 00-{}-{SPAN}-01", "0".repeat(32)),
        format!("traceparent: 00-{TRACE}-0000000000000000-01"),
        "traceparent: 00-abc-def-01".to_owned(),
        "uber-trace-id: 1:2:3".to_owned(),
        "x-datadog-trace-id: x".to_owned(),
        format!("x-amzn-trace-id: Root=1-463ac35c;Parent={SPAN}"),
        format!("x-cloud-trace-context: {TRACE}"),
        format!("x-instana-t: {TRACE}"),
        format!("traceparent: 00-{TRACE}-+{}-01", &SPAN[1..]),
    ] {
        assert_eq!(check(&bad, None, None, None, None).format, None, "{bad}");
    }
    let b3 = format!(
        "x-b3-traceid: {TRACE}\nx-b3-spanid: {SPAN}\nx-b3-parentspanid: 0020000000000001\nx-b3-sampled: 1"
    );
    check(&b3, trace, span, parent, yes);
    check(
        &format!("X-B3-TraceId: 463ac35c9f6413ad\nX-B3-SpanId: {SPAN}"),
        padded,
        span,
        None,
        None,
    );
    let debug = format!("X-B3-TraceId: {TRACE}\nX-B3-SpanId: {SPAN}\nX-B3-Flags: 1");
    assert!(check(&debug, trace, span, None, yes).debug);
    check("X-B3-Sampled: 0", None, None, None, no);
    let bad = check(
        &format!("X-B3-TraceId: zz\nX-B3-SpanId: {SPAN}"),
        None,
        None,
        None,
        None,
    );
    assert_eq!(bad.format, Some(Format::B3));
    check(
        &format!("b3: {TRACE}-{SPAN}-1-0020000000000001"),
        trace,
        span,
        parent,
        yes,
    );
    assert!(check(&format!("b3: {TRACE}-{SPAN}-d"), trace, span, None, yes).debug);
    check("b3: 0", None, None, None, no);
    assert_eq!(
        check("b3: nonsense", None, None, None, None).format,
        Some(Format::B3Single)
    );
    let carried =
        format!("traceparent: 00-{TRACE}-{SPAN}-01\ntracestate: b3={TRACE}-0020000000000001-1");
    check(&carried, trace, parent, None, yes);
    let jaeger = format!("uber-trace-id: {TRACE}:{SPAN}:0020000000000001:1\nuberctx-k: v%20v");
    let found = check(&jaeger, trace, span, parent, yes);
    assert_eq!(found.baggage, [("k".to_owned(), "v v".to_owned())]);
    let (short, zero) = (Some("0000000000000abc"), Some("0000000000000000"));
    check(
        "uber-trace-id: 463ac35c9f6413ad:abc:0:1",
        padded,
        short,
        zero,
        yes,
    );
    check(
        &format!("uber-trace-id: {TRACE}%3A{SPAN}%3A0%3A0"),
        trace,
        span,
        zero,
        no,
    );
    let ot =
        format!("ot-tracer-traceid: {TRACE}\not-tracer-spanid: {SPAN}\not-tracer-sampled: true");
    check(&ot, trace, span, None, yes);
    let datadog = "x-datadog-trace-id: 1234567890\nx-datadog-parent-id: 987654321\nx-datadog-sampling-priority: 2";
    let (low, number) = (
        Some("000000000000000000000000499602d2"),
        Some("000000003ade68b1"),
    );
    check(datadog, low, number, None, yes);
    check(
        "x-datadog-trace-id: 1234567890\nx-datadog-sampling-priority: -1",
        low,
        None,
        None,
        no,
    );
    let aws = format!(
        "x-amzn-trace-id: Parent={SPAN}; Root=1-463ac35c-9f6413ad48485a3953bb6124;Sampled=0"
    );
    check(&aws, trace, span, None, no);
    check(
        &format!("x-cloud-trace-context: {TRACE}/11744061942159299346;o=1"),
        trace,
        span,
        None,
        yes,
    );
    check(
        &format!("x-cloud-trace-context: {TRACE}/11744061942159299346"),
        trace,
        span,
        None,
        None,
    );
}

#[test]
fn an_upstream_is_told_in_the_formats_that_are_configured() {
    let trace = TraceId::parse(TRACE).expect("an id");
    let check = |formats: &[HeaderType], injected: Injected, expected: &str| {
        let config = PropagationConfig {
            inject: Some(formats.to_vec()),
            ..PropagationConfig::default()
        };
        let propagation = Propagation::new(&config, None, Format::W3c);
        let found = written(&propagation, &Extracted::default(), &injected);
        assert_eq!(found.0, Given::of(expected).0, "{formats:?}");
    };
    let one = |format| [HeaderType::Format(format)];
    let told = injected(trace, true);
    let (span, parent) = ("0101010101010101", "0202020202020202");
    check(&[], told, "");
    check(
        &[HeaderType::Preserve],
        told,
        &format!("traceparent: 00-{TRACE}-{span}-01"),
    );
    check(
        &one(Format::W3c),
        injected(trace, false),
        &format!("traceparent: 00-{TRACE}-{span}-00"),
    );
    let b3 = format!("x-b3-traceid: {TRACE}\nx-b3-spanid: {span}\nx-b3-parentspanid: {parent}");
    check(&one(Format::B3), told, &format!("{b3}\nx-b3-sampled: 1"));
    check(
        &one(Format::B3),
        Injected {
            debug: true,
            ..told
        },
        &format!("{b3}\nx-b3-flags: 1"),
    );
    check(
        &one(Format::B3Single),
        told,
        &format!("b3: {TRACE}-{span}-1-{parent}"),
    );
    check(
        &one(Format::B3Single),
        Injected {
            debug: true,
            ..told
        },
        &format!("b3: {TRACE}-{span}-d-{parent}"),
    );
    check(
        &one(Format::B3Single),
        Injected {
            parent: None,
            ..injected(trace, false)
        },
        &format!("b3: {TRACE}-{span}-0"),
    );
    check(
        &one(Format::Jaeger),
        told,
        &format!("uber-trace-id: {TRACE}:{span}:{parent}:01"),
    );
    check(
        &one(Format::Jaeger),
        Injected {
            parent: None,
            ..told
        },
        &format!("uber-trace-id: {TRACE}:{span}:0:01"),
    );
    check(
        &one(Format::Ot),
        told,
        &format!("ot-tracer-traceid: {TRACE}\not-tracer-spanid: {span}\not-tracer-sampled: 1"),
    );
    check(
        &one(Format::Datadog),
        told,
        "x-datadog-trace-id: 5208512171318403364\nx-datadog-parent-id: 72340172838076673\nx-datadog-sampling-priority: 1",
    );
    check(
        &one(Format::Aws),
        told,
        &format!(
            "x-amzn-trace-id: Root=1-463ac35c-9f6413ad48485a3953bb6124;Parent={span};Sampled=1"
        ),
    );
    check(
        &one(Format::Gcp),
        told,
        &format!("x-cloud-trace-context: {TRACE}/72340172838076673;o=1"),
    );
    let short = injected(TraceId::parse("463ac35c9f6413ad").expect("an id"), true);
    check(
        &one(Format::B3Single),
        short,
        &format!("b3: 463ac35c9f6413ad-{span}-1-{parent}"),
    );
    check(
        &one(Format::Ot),
        short,
        &format!(
            "ot-tracer-traceid: 463ac35c9f6413ad\not-tracer-spanid: {span}\not-tracer-sampled: 1"
        ),
    );
    check(
        &one(Format::W3c),
        short,
        &format!("traceparent: 00-0000000000000000463ac35c9f6413ad-{span}-01"),
    );
}

#[test]
fn formats_are_tried_in_order_and_kept() {
    let both = Given::of(&format!(
        "x-b3-traceid: 463ac35c9f6413ad\nx-b3-spanid: {SPAN}\ntraceparent: 00-{TRACE}-{SPAN}-01"
    ));
    let found = |config: serde_json::Value, header_type: Option<HeaderType>| {
        let config: PropagationConfig = serde_json::from_value(config).expect("a configuration");
        let propagation = Propagation::new(&config, header_type, Format::W3c);
        let extracted = propagation.extract_from(&both);
        let injected = injected(TraceId::random(false), true);
        let names = written(&propagation, &extracted, &injected).0;
        (extracted.format, names.into_keys().collect::<Vec<_>>())
    };
    let check = |config: serde_json::Value, header_type: &str, format, names: &[&str]| {
        let header_type = serde_json::from_value(header_type.into()).ok();
        let (found, written) = found(config.clone(), header_type);
        assert_eq!(found, format, "{config} {header_type:?}");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(written, names, "{config} {header_type:?}");
    };
    let none = serde_json::json!({});
    let b3 = [
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-spanid",
        "x-b3-traceid",
    ];
    check(none.clone(), "preserve", Some(Format::B3), &b3);
    check(none.clone(), "ignore", None, &["traceparent"]);
    check(
        none.clone(),
        "w3c",
        Some(Format::B3),
        &[&["traceparent"], &b3[..]].concat(),
    );
    check(
        none,
        "b3-single",
        Some(Format::B3),
        &[&["b3"], &b3[..]].concat(),
    );
    let config = serde_json::json!({"extract": ["w3c", "b3"], "inject": ["preserve"], "default_format": "gcp"});
    check(config, "jaeger", Some(Format::W3c), &["traceparent"]);
    let config = serde_json::json!({"extract": ["jaeger"], "inject": ["preserve", "b3-single"], "default_format": "gcp"});
    check(config, "preserve", None, &["b3", "x-cloud-trace-context"]);
    check(
        serde_json::json!({"extract": ["b3"]}),
        "preserve",
        Some(Format::B3),
        &[],
    );
    check(
        serde_json::json!({"inject": ["w3c"]}),
        "preserve",
        None,
        &["traceparent"],
    );
    check(serde_json::json!({"clear": ["x"]}), "preserve", None, &[]);
}

#[test]
fn a_share_of_traces_is_sampled() {
    for (share, expected) in [(0.0, 0..1), (0.25, 150..350), (1.0, 1000..1001)] {
        let sampled = (0..1000).filter(|_| TraceId::random(false).is_sampled(share));
        let count = sampled.count();
        assert!(expected.contains(&count), "{share}: {count}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(trace in 1u128.., span in 1u64.., parent in 1u64.., sampled: bool, debug: bool, at in 0usize..8) {
        let trace = TraceId { bytes: trace.to_be_bytes(), width: Width::Long };
        let told = Injected {
            trace,
            span: SpanId(span.to_be_bytes()),
            parent: Some(SpanId(parent.to_be_bytes())),
            sampled: sampled || debug,
            debug,
        };
        let format = FORMATS[at];
        let config = PropagationConfig {
            inject: Some(vec![HeaderType::Format(format)]),
            ..PropagationConfig::default()
        };
        let nothing = Extracted::default();
        let given = written(&Propagation::new(&config, None, Format::W3c), &nothing, &told);
        let read = preserving(Format::W3c).extract_from(&given);
        if format == Format::Datadog && trace.low() == 0 {
            return Ok(());
        }
        prop_assert_eq!(read.format, Some(format));
        let same = |id: TraceId| match format {
            Format::Datadog => id.low() == trace.low(),
            _ => id.bytes == trace.bytes,
        };
        prop_assert!(read.trace.is_some_and(same));
        prop_assert_eq!(read.span, Some(told.span));
        prop_assert_eq!(read.sampled, Some(told.sampled));
        if read.shares_span() {
            prop_assert_eq!(read.parent, told.parent);
        }
    }

    #[test]
    fn nothing_that_a_client_says_is_too_much(name in prop::sample::select(vec![
        "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "uber-trace-id", "ot-tracer-traceid",
        "x-datadog-trace-id", "x-amzn-trace-id", "x-cloud-trace-context",
    ]), value in "[-0-9a-fA-F:;/=%. é]{0,80}") {
        let given = Given::of(&format!("{name}: {value}"));
        let found = preserving(Format::W3c).extract_from(&given);
        prop_assert!(found.trace.is_none_or(|trace| trace.bytes != [0; 16]));
    }
}
