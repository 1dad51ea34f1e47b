//! What a request head and a response head are; no IO.
