//! What the one who installs the operator decides.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Schedules armies of bots and merges what they measure.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "operator", version)]
pub struct Settings {
    /// The namespace that the operator runs in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "botarmy")]
    pub namespace: String,
    /// The name of the pod that the operator runs in, by which it stands for election.
    #[arg(long, env = "POD_NAME", default_value = "operator")]
    pub pod: String,
    /// The address at which runners reach this operator when it leads. Without it, that of `--listen`.
    #[arg(long, env = "POD_IP")]
    pub address: Option<IpAddr>,
    /// The Lease that the operator holds that leads.
    #[arg(long, env = "LEASE", default_value = "botarmy-operator")]
    pub lease: String,
    /// The image of the runners.
    #[arg(long)]
    pub image: String,
    /// When the image of the runners is pulled: `Always`, `IfNotPresent` or `Never`.
    #[arg(long, default_value = "IfNotPresent")]
    pub image_pull_policy: String,
    /// The Service by which runners find the coordinator.
    #[arg(long, default_value = "botarmy-coordinator")]
    pub service: String,
    /// The Secret that keeps the certificate authority.
    #[arg(long, env = "CA_SECRET", default_value = "botarmy-ca")]
    pub ca_secret: String,
    /// How long the certificate authority holds, from 720h to 8760h; when two thirds of it are over, another one takes
    /// its place.
    #[arg(long, env = "CA_VALIDITY", default_value = "8760h", value_parser = ca_validity)]
    pub ca_validity: Duration,
    /// How long a run may wait for its runners, such as 5m; then it ends and tells why they did not come.
    #[arg(long, env = "START_DEADLINE", default_value = "5m", value_parser = botarmy_tree::duration::parse)]
    pub start_deadline: Duration,
    /// A file that says what is allowed in which namespaces: targets, bots, runners, runs at the same time. Without
    /// it, everything is.
    #[arg(long, env = "LIMITS")]
    pub limits: Option<PathBuf>,
    /// Where runners are listened to.
    #[arg(long, default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where health, readiness and metrics are told.
    #[arg(long, default_value = "0.0.0.0:8081")]
    pub health: SocketAddr,
}

/// Bounds of how long the authority holds: there must be time to notice that it is not exchanged.
const CA_VALIDITY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(720 * 3600)..=Duration::from_secs(8760 * 3600);

fn ca_validity(text: &str) -> Result<Duration, String> {
    let validity = botarmy_tree::duration::parse(text).map_err(|e| e.to_string())?;
    let fits = CA_VALIDITY.contains(&validity);
    fits.then_some(validity).ok_or_else(|| "it is from 720h to 8760h".to_owned())
}

impl Settings {
    /// The DNS name by which runners find the coordinator.
    pub fn coordinator_host(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// Where runners reach this operator.
    pub fn reached_at(&self) -> SocketAddr {
        SocketAddr::new(self.address.unwrap_or(self.listen.ip()), self.listen.port())
    }

    /// The names that the coordinator goes by.
    pub fn coordinator_hosts(&self) -> Vec<String> {
        let host = self.coordinator_host();
        vec![host.clone(), format!("{host}.cluster.local")]
    }

    /// The address by which runners find the coordinator.
    pub fn coordinator_address(&self) -> String {
        format!("https://{}:{}", self.coordinator_host(), self.listen.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn an_authority_holds_for_a_month_to_a_year() {
        let parse =
            |validity| Settings::try_parse_from(["operator", "--image", "i", "--ca-validity", validity]);
        for (validity, hours) in
            [("720h", Some(720)), ("8760h", Some(8760)), ("719h", None), ("8761h", None), ("x", None)]
        {
            let parsed = parse(validity).ok().map(|settings| settings.ca_validity.as_secs() / 3600);
            assert_eq!(parsed, hours, "{validity}");
        }
    }
}
