//! Writes a configuration as a declarative document, in the shape of Kong's exports: flat lists,
//! parents by their ids, everything as it is stored.

use super::super::{Kind, KindSet};
use crate::schema;
use serde_json::{Map, Value};
use std::io::{self, Write};

/// A document that is being written. It is complete, and valid, after every entity.
pub struct Dump<W> {
    out: W,
    /// The kind of the list that is open.
    list: Option<Kind>,
}

impl<W: Write> Dump<W> {
    /// The kinds that are written: sessions come and go with the traffic.
    pub const KINDS: KindSet = KindSet::DISTRIBUTED;

    /// Begins a document.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut out: W) -> io::Result<Dump<W>> {
        // Secrets are written as they are stored, so nothing is to be made of them again.
        out.write_all(b"_transform: false\n_format_version: '3.0'\n")?;
        Ok(Dump { out, list: None })
    }

    /// Adds an entity as [`schema::Entity::exported`] gives it. Entities of a kind come together.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn entity(&mut self, kind: Kind, mut entity: Map<String, Value>) -> io::Result<()> {
        if self.list != Some(kind) {
            writeln!(self.out, "{kind}:")?;
            self.list = Some(kind);
        }
        let foreign = schema::entity(kind.as_str()).map(|entity| entity.foreign_fields());
        for (field, _) in foreign.into_iter().flatten() {
            if let Some(reference) = entity.get_mut(&*field.name)
                && let Some(id) = reference.get("id")
            {
                *reference = id.clone();
            }
        }
        // Strings that an older YAML takes for something else are quoted; none is folded, since
        // readers do not agree on what becomes of spaces at a fold.
        let options = serde_saphyr::ser_options! {
            yaml_12: false,
            compact_list_indent: true,
            min_fold_chars: usize::MAX,
            folded_wrap_chars: usize::MAX,
        };
        let text = serde_saphyr::to_string_with_options(&[Value::Object(entity)], options)
            .map_err(io::Error::other)?;
        self.out.write_all(text.as_bytes())
    }

    /// Ends the document.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn dump(entities: Vec<(Kind, Value)>) -> String {
        let mut dump = Dump::new(Vec::new()).expect("a document");
        for (kind, entity) in entities {
            let entity = entity.as_object().cloned().expect("an object");
            dump.entity(kind, entity).expect("written");
        }
        String::from_utf8(dump.finish().expect("an end")).expect("text")
    }

    #[test]
    fn an_empty_configuration_is_its_header() {
        assert_eq!(dump(vec![]), "_transform: false\n_format_version: '3.0'\n");
    }

    #[test]
    fn entities_stand_in_lists_and_parents_by_id() {
        let text = dump(vec![
            (Kind::Services, json!({"name": "a", "tags": null})),
            (Kind::Services, json!({"name": "b", "port": 80})),
            (
                Kind::Routes,
                json!({"paths": ["/r", "~/x$"], "service": {"id": "i"}, "headers": {}}),
            ),
        ]);
        let read = document::read(&text).unwrap_or_else(|err| panic!("{err}\n{text}"));
        assert_eq!(
            read,
            json!({
                "_transform": false,
                "_format_version": "3.0",
                "services": [{"name": "a", "tags": null}, {"name": "b", "port": 80}],
                "routes": [{"paths": ["/r", "~/x$"], "service": "i", "headers": {}}],
            }),
            "{text}"
        );
    }

    #[test]
    fn texts_that_look_like_something_else() {
        for text in [
            "",
            "yes",
            "no",
            "on",
            "Off",
            "y",
            "n",
            "null",
            "~",
            "010",
            "0x1f",
            "1e3",
            "1_000",
            "12:30:45",
            "2024-01-01",
            ".inf",
            "=",
            "<<",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'a",
            "\"a",
            "{a",
            "[a",
            "|",
            ">",
            "a\nb",
            "a\n",
            "\na",
            " a",
            "a ",
            "\ta",
            "a\tb",
            "a\r\nb",
            "\u{1}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}a",
            "---",
            "...",
            "ü",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        ] {
            let text_of = dump(vec![(Kind::Services, json!({"name": text, text: [text]}))]);
            let read =
                document::read(&text_of).unwrap_or_else(|err| panic!("{text:?}: {err}\n{text_of}"));
            assert_eq!(read["services"][0]["name"], text, "{text_of}");
            assert_eq!(read["services"][0][text], json!([text]), "{text_of}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9f64..1e9).prop_map(Value::from),
            r#"(?s)[-:{}\[\]&*!|>'"%#,?@~ \na-c_0-9<.\t]{0,12}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z~: ]{1,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever is stored reads as it was written.
        #[test]
        fn what_is_written_is_read(config in value()) {
            let text = dump(vec![(Kind::Plugins, json!({"config": config}))]);
            let read = document::read(&text);
            prop_assert!(read.is_ok(), "{}: {}", read.unwrap_err(), text);
            prop_assert_eq!(&read.unwrap_or_default()["plugins"][0]["config"], &config, "{}", text);
        }
    }
}
