//! What quickstart prints: where everything is, and a tour to paste.

use super::Plan;

/// The addresses and the tour.
pub fn text(plan: &Plan) -> String {
    let of = |listens: &[crate::settings::Listen], ssl: bool| {
        let found = listens.iter().find(|listen| listen.ssl == ssl);
        found
            .map(|listen| listen.local_address().to_string())
            .unwrap_or_default()
    };
    let (control, data) = (&plan.control_plane.listeners, &plan.data_plane.listeners);
    let admin = of(&control.admin, false);
    let proxy = of(&data.proxy, false);
    format!(
        r#"
Langur is running: a control plane, a data plane, and an echo upstream.

  proxy        http://{proxy}   https://{proxy_ssl}
  Admin API    http://{admin}
  status       http://{control_status} (control plane)   http://{data_status} (data plane)
  echo         http://{echo}
  files        {directory}

A tour, to paste into another terminal:

  # a service and a route to it
  curl -s http://{admin}/services -d name=echo -d url=http://{echo}
  curl -s http://{admin}/services/echo/routes -d name=echo -d 'paths[]=/echo'
  curl -s http://{proxy}/echo/hello

  # only for consumers with a key
  curl -s http://{admin}/routes/echo/plugins -d name=key-auth
  curl -s http://{admin}/consumers -d username=ann
  curl -s http://{admin}/consumers/ann/key-auth -d key=secret
  curl -s -o /dev/null -w '%{{http_code}}\n' http://{proxy}/echo/hello
  curl -s http://{proxy}/echo/hello -H 'apikey: secret'

  # what is in effect where, and what it counts
  curl -s http://{admin}/clustering/data-planes
  curl -s http://{data_status}/metrics | grep kong_http_requests_total

Ctrl-C stops it; started again, it continues with the same data.
"#,
        proxy_ssl = of(&data.proxy, true),
        control_status = of(&control.status, false),
        data_status = of(&data.status, false),
        echo = plan.echo,
        directory = plan.directory.display(),
    )
}
