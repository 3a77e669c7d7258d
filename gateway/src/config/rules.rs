//! Rules that look at more than one key.

use super::keys::{BrokenRule, Config, Key};
use super::read::Setting;
use super::values::StoreKind;

/// Every rule that the configuration breaks as a whole. Each key alone is good when this is asked.
pub(super) fn broken(config: &Config, settings: &[Setting<'_>]) -> Vec<BrokenRule> {
    let mut broken = Vec::new();
    let mut say = |key: &'static Key, rule: String| {
        broken.push(BrokenRule { section: key.section, name: key.name, rule });
    };
    let find = |name: &str| settings.iter().find(|it| it.key.section == "scylla" && it.key.name == name);
    let changed = |name: &str| find(name).filter(|it| it.changed);

    for setting in settings.iter().filter(|it| it.key.secret && it.changed && it.in_file) {
        let variable = format!("BELLHOP_{}", setting.key.path().to_ascii_uppercase().replace('.', "__"));
        say(setting.key, format!("must not stand in a file: give it by {variable}, or by scylla.password_file"));
    }
    let given: Vec<_> = settings.iter().filter(|it| it.key.section == "scylla" && it.changed).collect();
    if config.store == StoreKind::Embedded {
        // Whoever filled the section and forgot the key would serve from an empty directory and not notice.
        if let Some(first) = given.first() {
            let others = match given.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more of [scylla])"),
            };
            let rule = format!(
                "is given{others}, but store is \"embedded\" and would not look at it: set store = \"scylla\" in front of \
                 the first section, or take it out"
            );
            say(first.key, rule);
        }
        return broken;
    }
    let scylla = &config.scylla;
    if scylla.contact_points.is_empty()
        && let Some(it) = find("contact_points")
    {
        let rule = "must name a node of the cluster when store is \"scylla\", such as [\"db1.internal:9042\"]";
        say(it.key, rule.to_owned());
    }
    if scylla.datacentre.0.is_empty()
        && let Some(it) = find("datacentre")
    {
        say(it.key, "must name the datacentre of this server, as `nodetool status` shows it".to_owned());
    }
    match (changed("password_file"), changed("password")) {
        (Some(_), Some(password)) => {
            say(password.key, "is given twice: take either it or scylla.password_file away".to_owned());
        }
        (Some(it), None) | (None, Some(it)) if scylla.username.0.is_empty() => {
            say(it.key, "is given without scylla.username: say who logs in".to_owned());
        }
        (None, None) => {
            if let Some(username) = changed("username") {
                let rule = "is given without a password: set scylla.password_file, or BELLHOP_SCYLLA__PASSWORD";
                say(username.key, rule.to_owned());
            }
        }
        _ => {}
    }
    match (changed("tls_cert_file"), changed("tls_key_file")) {
        (Some(cert), None) => say(cert.key, "is given without its private key: set scylla.tls_key_file".to_owned()),
        (None, Some(key)) => say(key.key, "is given without its certificate: set scylla.tls_cert_file".to_owned()),
        (Some(cert), Some(_)) if scylla.tls_ca_file.0.is_none() => {
            let rule = "is given without scylla.tls_ca_file, so nothing would be encrypted: set it";
            say(cert.key, rule.to_owned());
        }
        _ => {}
    }
    broken
}
