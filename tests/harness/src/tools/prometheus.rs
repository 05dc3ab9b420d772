//! Prometheus, with promtool.

use super::packaged::Recipe;

pub(super) const RECIPE: Recipe = Recipe {
    name: "prometheus",
    edition: "debian prometheus 1",
    variable: "FAIRLEAD_PROMETHEUS_BIN",
    programs: &["prometheus", "promtool"],
    packages: &[&["prometheus"]],
    find: |root| Some(root.join("usr/bin")),
    // Its pages for browsers want scripts of other packages.
    useless: &["usr/share/prometheus"],
    way_out: "install Prometheus 2.42 or newer",
};
