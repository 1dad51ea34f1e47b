//! The life of a request: route, plugins by phase, balancer, upstream, response, record.
