//! The only writer of configuration: transactions, revisions, journal.
