//! Keys of name resolution. Names are resolved by the system's resolver.

use crate::settings::key::*;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    list("dns_resolver", "", "Name servers; unset: those of the system.").no_effect(),
    text("dns_hostsfile", "/etc/hosts", "Hosts file.").no_effect(),
    list("dns_order", "LAST,SRV,A,CNAME", "Record types in the order they are asked for.").no_effect(),
    number("dns_valid_ttl", "", "Lifetime of answers, in place of their own.").no_effect(),
    number("dns_stale_ttl", "3600", "Seconds an outdated answer may be used.").no_effect(),
    number("dns_cache_size", "10000", "Most answers kept.").no_effect(),
    number("dns_not_found_ttl", "30", "Lifetime of empty answers.").no_effect(),
    number("dns_error_ttl", "1", "Lifetime of errors.").no_effect(),
    boolean("dns_no_sync", "off", "Do not join concurrent questions.").no_effect(),
    boolean("new_dns_client", "off", "Kong's second DNS client.").no_effect(),
    list("resolver_address", "", "Name servers of the second client.").no_effect(),
    text("resolver_hosts_file", "/etc/hosts", "Hosts file of the second client.").no_effect(),
    list("resolver_family", "A,SRV", "Record types of the second client.").no_effect(),
    number("resolver_valid_ttl", "", "Lifetime of answers of the second client.").no_effect(),
    number("resolver_error_ttl", "1", "Lifetime of errors of the second client.").no_effect(),
    number("resolver_stale_ttl", "3600", "Use of outdated answers by the second client.").no_effect(),
    number("resolver_lru_cache_size", "10000", "Most answers of the second client.").no_effect(),
    text("resolver_mem_cache_size", "5m", "Shared memory of the second client.").no_effect(),
];
