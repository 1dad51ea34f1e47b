"""A configuration of about 5 000 entities of all kinds that decK knows, as its files say them: parents
by name, nothing that has a default."""

import subprocess

# What every bundled plugin needs to be told.
PLUGINS = {
    "acl": {"allow": ["staff", "admins"]},
    "acme": {"account_email": "a@example.test", "tos_accepted": True, "storage": "redis",
             "storage_config": {"redis": {"host": "redis.test"}}},
    "ai-prompt-decorator": {"prompts": {"prepend": [{"role": "system", "content": "Be brief."}]}},
    "ai-prompt-guard": {"allow_patterns": [".*"]},
    "ai-prompt-template": {"templates": [{"name": "t", "template": '{"messages": []}'}]},
    "ai-proxy": {"route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "m"},
                 "auth": {"header_name": "Authorization", "header_value": "Bearer x"}},
    "ai-request-transformer": {"prompt": "p", "llm": {
        "route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "m"},
        "auth": {"header_name": "Authorization", "header_value": "Bearer x"}}},
    "ai-response-transformer": {"prompt": "p", "llm": {
        "route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "m"},
        "auth": {"header_name": "Authorization", "header_value": "Bearer x"}}},
    "aws-lambda": {"function_name": "f", "aws_region": "eu-west-1"},
    "azure-functions": {"appname": "a", "functionname": "f"},
    "basic-auth": {"hide_credentials": True},
    "bot-detection": {"deny": ["bad-bot"]},
    "correlation-id": {"generator": "uuid"},
    "cors": {"origins": ["https://example.test"], "methods": ["GET", "POST"]},
    "datadog": {"metrics": [{"name": "request_count", "stat_type": "counter", "sample_rate": 0.5}]},
    "file-log": {"path": "/dev/null", "custom_fields_by_lua": {"a": "return 1"}},
    "grpc-gateway": {},
    "grpc-web": {"allow_origin_header": "*"},
    "hmac-auth": {"algorithms": ["hmac-sha256"]},
    "http-log": {"http_endpoint": "http://log.test/x", "headers": {"X-A": "b"}},
    "ip-restriction": {"allow": ["10.0.0.0/8", "::1"]},
    "jwt": {"claims_to_verify": ["exp"]},
    "key-auth": {"key_names": ["apikey", "X-Key"]},
    "ldap-auth": {"ldap_host": "ldap.test", "base_dn": "dc=example", "attribute": "cn"},
    "loggly": {"key": "k"},
    "oauth2": {"enable_client_credentials": True, "provision_key": "p"},
    "opentelemetry": {"traces_endpoint": "http://otel.test/v1/traces"},
    "post-function": {"access": ["return 1"]},
    "pre-function": {"access": ["return 1"]},
    "prometheus": {"per_consumer": True},
    "proxy-cache": {"strategy": "memory"},
    # A name that is deprecated: the server moves it.
    "rate-limiting": {"minute": 5, "policy": "redis", "redis_host": "redis.test", "redis_port": 6380},
    "redirect": {"location": "https://example.test/"},
    "request-size-limiting": {"allowed_payload_size": 8},
    "request-termination": {"status_code": 503, "message": "closed"},
    "request-transformer": {"add": {"headers": ["x-a:1"]}, "rename": {"querystring": ["a:b"]}},
    # Whole, as decK's users write it: it fills no record in a map, nor one in a default. The server does.
    "response-ratelimiting": {"limits": {"video": {
        "second": None, "minute": 5, "hour": None, "day": None, "month": None, "year": None}}},
    "response-transformer": {"remove": {"headers": ["x-a"]}, "add": {"json": ["a:1"]}},
    "session": {"secret": "s", "storage": "cookie"},
    "standard-webhooks": {"secret_v1": "s"},
    "statsd": {"host": "statsd.test", "metrics": [
        {"name": "request_count", "stat_type": "counter", "sample_rate": 0.5}]},
    "syslog": {"facility": "local0"},
    "tcp-log": {"host": "log.test", "port": 5140},
    "udp-log": {"host": "log.test", "port": 5140},
    "zipkin": {"http_endpoint": "http://zipkin.test/api/v2/spans"},
}
# The scopes that plugins do not have.
GLOBAL_ONLY = {"acme"}
NO_CONSUMER = {
    "acl", "ai-request-transformer", "basic-auth", "bot-detection", "cors", "hmac-auth", "jwt", "key-auth",
    "ldap-auth", "oauth2", "post-function", "pre-function", "session", "standard-webhooks",
}


def certificate(folder, name, authority=False):
    """A new certificate and its key, in PEM."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    constraint = f"basicConstraints=critical,CA:{'TRUE' if authority else 'FALSE'}"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-subj", f"/CN={name}.test", "-days", "30", "-addext", constraint, "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    return {"cert": cert.read_text(), "key": key.read_text()}


def plugins(scale):
    """Every plugin once for everything, and then for services, routes and consumers in turn."""
    found = [{"name": name, "config": config} for name, config in PLUGINS.items()]
    for name, config in PLUGINS.items():
        if name in GLOBAL_ONLY:
            continue
        for n in range(scale):
            scopes = [{"service": f"service-{n}"}, {"route": f"route-{n}"}]
            if name not in NO_CONSUMER:
                scopes.append({"consumer": f"consumer-{n}"})
                scopes.append({"consumer": f"consumer-{n}", "route": f"route-{n}"})
            found += [{"name": name, "config": config, **scope, "tags": ["p"]} for scope in scopes]
    return found


def configuration(folder, scale=220):
    """Entities by kind, in the order of their creation. `scale`: how many consumers; the others follow, about 25 for each."""
    servers = [certificate(folder, f"server-{n}") for n in range(4)]
    authorities = [certificate(folder, f"authority-{n}", authority=True) for n in range(2)]
    few, names = max(scale // 20, 2), range(scale)
    consumer = lambda n: {"consumer": f"consumer-{n}", "tags": ["a", "b"] if n % 2 else ["a"]}  # noqa: E731
    return {
        "certificates": [{**pair, "tags": ["a", "b"]} for pair in servers],
        "ca_certificates": [{"cert": pair["cert"]} for pair in authorities],
        "consumers": [
            {"username": f"consumer-{n}", "custom_id": f"custom/{n}", "tags": ["a", "b"] if n % 2 else ["a"]}
            for n in names
        ],
        "vaults": [
            {"prefix": f"vault-{n}", "name": "env", "config": {"prefix": f"V{n}"}, "description": "d"}
            for n in range(few)
        ],
        "key-sets": [{"name": f"set-{n}", "tags": ["a", "b"]} for n in range(few)],
        "snis": [
            {"name": f"{n}.example.test", "certificate": servers[n % len(servers)]["cert"]} for n in names
        ],
        "services": [
            {"name": f"service-{n}", "host": f"upstream-{n % few}", "path": f"/a%20b/{n}", "tags": ["a", "b"]}
            for n in names
        ]
        + [
            {"name": f"secure-{n}", "host": "s.test", "protocol": "https", "port": 443, "retries": 1,
             "client_certificate": servers[n % len(servers)]["cert"], "tls_verify": True, "tls_verify_depth": 2}
            for n in range(few)
        ],
        "upstreams": [
            {"name": f"upstream-{n}", "algorithm": "consistent-hashing", "hash_on": "header",
             "hash_on_header": "X-User", "tags": ["a", "b"],
             "healthchecks": {"active": {"healthy": {"interval": 5, "successes": 2}}, "threshold": 12.5}}
            for n in range(few)
        ],
        "keys": [
            {"name": f"key-{n}", "kid": f"kid-{n}", "set": f"set-{n % few}",
             "pem": {"private_key": servers[n % len(servers)]["key"]}}
            for n in range(few)
        ],
        "key-auths": [{"key": f"key-{n}", **consumer(n % scale)} for n in range(2 * scale)],
        "basic-auths": [{"username": f"user {n}", "password": f"p-{n}", **consumer(n)} for n in names],
        "hmac-auths": [{"username": f"user-{n}", "secret": f"s-{n}", **consumer(n)} for n in names],
        "jwts": [
            {"key": f"issuer-{n}", "secret": f"s-{n}", "algorithm": "HS256", **consumer(n)} for n in names
        ],
        "oauth2": [
            {"name": f"app-{n}", "client_id": f"id-{n}", "client_secret": f"s-{n}", "hash_secret": False,
             "client_type": "confidential", "redirect_uris": ["https://a.test/cb"], **consumer(n)}
            for n in names
        ],
        "acls": [
            {"group": group, **consumer(n)} for n in names for group in ("staff", f"group {n}")
        ],
        "routes": [
            {"name": f"route-{n}", "service": f"service-{n % scale}", "hosts": [f"*.{n % 7}.example.test"],
             "paths": [f"/r/{n}", f"~/r/{n}/[0-9]+$"], "methods": ["POST", "GET"], "tags": ["a", "b"],
             "headers": {"X-Version": ["1", "2"]}}
            for n in range(4 * scale)
        ]
        + [
            {"name": f"grpc-{n}", "protocols": ["grpcs"], "service": f"secure-{n}", "paths": [f"/p.S{n}/"],
             "snis": [f"{n}.example.test"]}
            for n in range(few)
        ]
        + [
            {"name": f"stream-{n}", "protocols": ["tcp", "tls"], "sources": [{"ip": "10.0.0.0/8"}],
             "destinations": [{"port": 9000 + n}]}
            for n in range(few)
        ],
        "targets": [
            {"upstream": f"upstream-{n % few}", "target": f"10.0.{n // 200}.{n % 200 + 1}:8000", "weight": n % 100}
            for n in names
        ],
        "plugins": plugins(few),
    }
