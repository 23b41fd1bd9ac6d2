//! Whether the cluster is asked through a proxy: as with kubectl.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use std::net::IpAddr;

/// Goes straight to a cluster that the environment's proxy is not for. That of the kubeconfig itself stands whatever
/// the environment says; kube holds `NO_PROXY` against the address of the proxy instead of that of the cluster.
pub(super) fn settle(config: &mut Config) {
    let variables = ["HTTPS_PROXY", "https_proxy"];
    let given = variables.iter().filter_map(|name| std::env::var(name).ok()).find(|proxy| !proxy.is_empty());
    let of_environment = given.and_then(|proxy| proxy.parse::<Uri>().ok());
    if of_environment.is_some()
        && config.proxy_url == of_environment
        && is_direct(&config.cluster_url, &Matcher::from_env())
    {
        config.proxy_url = None;
    }
}

/// Whether an address is this machine's own, or one for which the environment names no proxy.
fn is_direct(cluster: &Uri, environment: &Matcher) -> bool {
    let host = cluster.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_here || environment.intercept(cluster).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_for_what_lies_beyond_it() {
        let environment =
            Matcher::builder().https("http://proxy:3128").no("10.0.0.0/8,.inside.example").build();
        for (cluster, direct) in [
            ("https://api.outside.example:6443", false),
            ("https://192.0.2.7", false),
            ("https://10.1.2.3:6443", true),
            ("https://api.inside.example", true),
            ("https://127.0.0.1:41234", true),
            ("https://[::1]:6443", true),
            ("https://localhost:6443", true),
            // Nothing is said of a proxy for plain HTTP.
            ("http://api.outside.example:8001", true),
        ] {
            let uri = cluster.parse().expect("an address");
            assert_eq!(is_direct(&uri, &environment), direct, "{cluster}");
        }
    }
}
