//! Which target of an upstream serves a request.
