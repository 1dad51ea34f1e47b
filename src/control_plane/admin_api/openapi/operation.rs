//! One operation, and how it reads in the document.

use serde_json::{Map, Value, json};

/// What a method of a path takes and answers.
#[derive(Debug)]
pub struct Operation {
    pub summary: String,
    pub tag: &'static str,
    pub arguments: Vec<Argument>,
    pub body: Option<Body>,
    pub answers: Vec<Answer>,
}

/// An argument of the query string, or a header.
#[derive(Clone, Debug)]
pub struct Argument {
    pub name: &'static str,
    pub place: &'static str,
    pub about: &'static str,
    pub schema: Value,
}

/// What a request may carry.
#[derive(Clone, Debug)]
pub struct Body {
    /// The schema of a JSON body.
    pub json: Value,
    /// The schema of a form or multipart body; none where these are refused.
    pub form: Option<Value>,
}

/// One answer: a status and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content: Content,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    None,
    /// JSON, by the name of its component.
    Json(String),
    /// A page for people.
    Html,
    /// Plain text.
    Text,
}

impl Operation {
    pub fn new(tag: &'static str, summary: impl Into<String>) -> Operation {
        Operation {
            summary: summary.into(),
            tag,
            arguments: Vec::new(),
            body: None,
            answers: Vec::new(),
        }
    }

    /// Adds an answer with a JSON body.
    #[must_use]
    pub fn json(self, status: u16, component: impl Into<String>) -> Operation {
        self.answer(status, Content::Json(component.into()))
    }

    /// Adds an answer.
    #[must_use]
    pub fn answer(mut self, status: u16, content: Content) -> Operation {
        self.answers.push(Answer { status, content });
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = Argument>) -> Operation {
        self.arguments.extend(arguments);
        self
    }

    /// Reads a body: what goes wrong with that comes with it.
    #[must_use]
    pub fn body(mut self, body: Body) -> Operation {
        self.body = Some(body);
        self.refusing_bodies()
    }

    /// Takes what comes as a body apart, though it has no use for it.
    #[must_use]
    pub fn refusing_bodies(self) -> Operation {
        self.json(408, "message")
            .json(413, "message")
            .answer(415, Content::Html)
    }

    /// Asks the database.
    #[must_use]
    pub fn reading(self) -> Operation {
        self.json(500, "message").json(503, "message")
    }

    /// Writes to the database.
    #[must_use]
    pub fn writing(self) -> Operation {
        self.reading().json(504, "message")
    }

    /// The same for HEAD: the answers without what they would say.
    #[must_use]
    pub fn without_contents(mut self) -> Operation {
        for answer in &mut self.answers {
            answer.content = Content::None;
        }
        self
    }

    /// Adds the refusal of pages that may not use the Admin API.
    #[must_use]
    pub fn forbidding(self, content: Content) -> Operation {
        self.answer(403, content)
    }

    /// Adds a 404 where there is none: for a path whose key may be no text.
    #[must_use]
    pub fn not_found(self, content: Content) -> Operation {
        match self.answers.iter().any(|answer| answer.status == 404) {
            true => self,
            false => self.answer(404, content),
        }
    }

    pub fn render(mut self, id: String) -> Value {
        self.answers.sort_by_key(|answer| answer.status);
        let responses: Map<String, Value> = self
            .answers
            .iter()
            .map(|answer| {
                let reference = format!("#/components/responses/{}", answer.component());
                (answer.status.to_string(), json!({ "$ref": reference }))
            })
            .collect();
        let mut operation = json!({
            "operationId": id,
            "summary": self.summary,
            "tags": [self.tag],
            "responses": responses,
        });
        if !self.arguments.is_empty() {
            operation["parameters"] = self.arguments.iter().map(Argument::render).collect();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body.render();
        }
        operation
    }
}

impl Argument {
    /// Those of a page of a list.
    pub fn page() -> [Argument; 2] {
        let sizes = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100});
        [
            Argument::query("size", "the most entities of a page", sizes),
            Argument::query(
                "offset",
                "the token of a page: `offset` of the one before",
                json!({"type": "string", "minLength": 1}),
            ),
        ]
    }

    /// An argument of the query string.
    pub fn query(name: &'static str, about: &'static str, schema: Value) -> Argument {
        Argument {
            name,
            place: "query",
            about,
            schema,
        }
    }

    fn render(&self) -> Value {
        json!({
            "name": self.name,
            "in": self.place,
            "description": self.about,
            "schema": self.schema,
        })
    }
}

impl Body {
    fn render(&self) -> Value {
        let mut content = json!({"application/json": {"schema": self.json}});
        if let Some(form) = &self.form {
            let form = json!({"schema": form});
            content["application/x-www-form-urlencoded"] = form.clone();
            content["multipart/form-data"] = form;
        }
        json!({ "content": content })
    }
}

impl Answer {
    /// The name of the response component.
    pub fn component(&self) -> String {
        let content = match &self.content {
            Content::None => "empty",
            Content::Json(name) => name,
            Content::Html => "page",
            Content::Text => "text",
        };
        format!("{}-{content}", self.status)
    }

    /// The response component.
    pub fn render(&self) -> Value {
        let content = match &self.content {
            Content::None => None,
            Content::Json(name) => Some(("application/json", reference(name))),
            Content::Html => Some(("text/html", json!({"type": "string"}))),
            Content::Text => Some(("text/plain", json!({"type": "string"}))),
        };
        let mut response = json!({
            "description": about(self.status),
            "headers": {
                "X-Kong-Admin-Request-ID": {"$ref": "#/components/headers/request-id"},
                "X-Langur-Revision": {"$ref": "#/components/headers/revision"},
            },
        });
        let more: &[&str] = match self.status {
            200 if self.content == Content::Json("openapi".to_owned()) => &["ETag"],
            200 | 201 | 204 => &[
                "X-Langur-Effective",
                "X-Langur-Pending",
                "X-Langur-Pending-Count",
                "X-Langur-Quarantined",
                "X-Langur-Quarantined-Count",
            ],
            503 => &["Retry-After"],
            _ => &[],
        };
        for name in more {
            response["headers"][name] =
                json!({"$ref": format!("#/components/headers/{}", name.to_lowercase())});
        }
        if let Some((kind, schema)) = content {
            response["content"] = json!({ kind: {"schema": schema} });
        }
        response
    }
}

/// A reference to a schema component.
pub fn reference(component: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{component}") })
}

fn about(status: u16) -> &'static str {
    match status {
        200 => "Done.",
        201 => "Created.",
        204 => "Done; there is nothing to show.",
        304 => "Not changed since it was read.",
        400 => "Refused: the request is not valid.",
        403 => {
            "Refused: a page of this origin may not do this, or this is no name of the listener."
        }
        404 => "There is no such thing.",
        405 => "Refused: this cannot be done to what is there.",
        408 => "Refused: the body did not arrive in time.",
        409 => "Refused: something that is there stands in the way.",
        410 => "It is known no more.",
        413 => "Refused: the body is too large.",
        415 => "Refused: the content type of the body is not known.",
        500 => "The database failed.",
        501 => "Not implemented.",
        503 => "Busy, or the database does not answer; nothing was done: try again.",
        504 => {
            "The database did not confirm the change: `GET /revisions?request_id=` says whether \
            it was made."
        }
        _ => "An answer.",
    }
}
