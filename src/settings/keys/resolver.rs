//! Keys of name resolution. Kong has two clients with keys of their own; `new_dns_client` says
//! which of them count.

use crate::settings::key::*;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    list("dns_resolver", "", "Name servers; unset: those of the system."),
    text("dns_hostsfile", "/etc/hosts", "Hosts file."),
    list("dns_order", "LAST,SRV,A,CNAME", "Record types in the order they are asked for: SRV, A, AAAA; LAST is the one that answered before."),
    number("dns_valid_ttl", "", "Lifetime of answers, in place of their own."),
    number("dns_stale_ttl", "3600", "Seconds an outdated answer may be used."),
    number("dns_cache_size", "10000", "Most answers kept."),
    number("dns_not_found_ttl", "30", "Lifetime of empty answers."),
    number("dns_error_ttl", "1", "Lifetime of errors."),
    boolean("dns_no_sync", "off", "Do not join concurrent questions: they are always joined.").no_effect(),
    boolean("new_dns_client", "off", "Take the keys of Kong's second DNS client: `resolver_*` in place of `dns_*`."),
    list("resolver_address", "", "Name servers of the second client."),
    text("resolver_hosts_file", "/etc/hosts", "Hosts file of the second client."),
    list("resolver_family", "A,SRV", "Record types of the second client."),
    number("resolver_valid_ttl", "", "Lifetime of answers of the second client."),
    number("resolver_error_ttl", "1", "Lifetime of errors of the second client."),
    number("resolver_stale_ttl", "3600", "Use of outdated answers by the second client."),
    number("resolver_lru_cache_size", "10000", "Most answers of the second client."),
    text("resolver_mem_cache_size", "5m", "Shared memory of the second client.").no_effect(),
];
