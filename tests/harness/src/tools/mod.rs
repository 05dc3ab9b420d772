//! The pinned programs that tests run on, built or installed once, into a cache.
//!
//! Each part is made when it is first asked for: a suite without moto installs
//! no moto. `fairlead-harness setup` makes all of them beforehand.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

pub mod cache;
mod debian;
mod go;
mod packaged;
mod postgresql;
mod prometheus;
mod python;

use go::Source;
pub use packaged::Packaged;

/// Everything, ready to use.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The Kubernetes control plane.
    pub control_plane: ControlPlane,
    /// Python with ministack.
    pub ministack: PathBuf,
    /// Python with moto, and with boto3, which makes it an AWS client too.
    pub moto: PathBuf,
    /// The status calculator of kubectl-side tools.
    pub kstatus: PathBuf,
    /// A database server and its client.
    pub postgresql: Packaged,
    /// Prometheus and promtool.
    pub prometheus: Packaged,
}

/// The programs of a Kubernetes control plane.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// kube-controller-manager.
    pub controller_manager: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
}

const CONTROL_PLANE: &[(&str, &str)] =
    &[("go.mod", include_str!("../../controlplane/go.mod")), ("go.sum", include_str!("../../controlplane/go.sum"))];

/// Without a version, clients take the server for one that is too old.
const CONTROL_PLANE_LDFLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3";

const KSTATUS: &[(&str, &str)] = &[
    ("go.mod", include_str!("../../kstatus/go.mod")),
    ("go.sum", include_str!("../../kstatus/go.sum")),
    ("main.go", include_str!("../../kstatus/main.go")),
];

const MINISTACK: &str = include_str!("../../emulators/ministack.txt");
const MOTO: &str = include_str!("../../emulators/moto.txt");

impl Tools {
    /// Finds or makes every tool, telling what it does and how long it took.
    pub fn ensure(progress: impl Fn(&str)) -> Result<Tools> {
        let progress: &dyn Fn(&str) = &progress;
        let began = Instant::now();
        let tools = Tools {
            control_plane: control_plane(progress)?,
            ministack: python::environment("ministack", MINISTACK, progress)?,
            moto: python::environment("moto", MOTO, progress)?,
            kstatus: kstatus(progress)?,
            postgresql: postgresql::RECIPE.ensure(progress)?,
            prometheus: prometheus::RECIPE.ensure(progress)?,
        };
        progress(&format!("all tools ready after {:.1?}", began.elapsed()));
        Ok(tools)
    }

    /// The Kubernetes control plane.
    pub fn control_plane() -> Result<ControlPlane> {
        control_plane(&to_stderr)
    }

    /// Python with ministack.
    pub fn ministack() -> Result<PathBuf> {
        python::environment("ministack", MINISTACK, &to_stderr)
    }

    /// Python with moto and boto3.
    pub fn moto() -> Result<PathBuf> {
        python::environment("moto", MOTO, &to_stderr)
    }

    /// The status calculator.
    pub fn kstatus() -> Result<PathBuf> {
        kstatus(&to_stderr)
    }

    /// PostgreSQL.
    pub fn postgresql() -> Result<Packaged> {
        postgresql::RECIPE.ensure(&to_stderr)
    }

    /// Prometheus and promtool.
    pub fn prometheus() -> Result<Packaged> {
        prometheus::RECIPE.ensure(&to_stderr)
    }
}

fn control_plane(progress: &dyn Fn(&str)) -> Result<ControlPlane> {
    let part = |name: &str, package: &str| match from_assets(name) {
        Some(found) => Ok(found),
        None => {
            let source = Source { files: CONTROL_PLANE, package, ldflags: CONTROL_PLANE_LDFLAGS };
            go::program(name, &source, progress)
        }
    };
    Ok(ControlPlane {
        etcd: part("etcd", "go.etcd.io/etcd/server/v3")?,
        apiserver: part("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")?,
        controller_manager: part("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager")?,
        kubectl: part("kubectl", "k8s.io/kubernetes/cmd/kubectl")?,
    })
}

fn kstatus(progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let source = Source { files: KSTATUS, package: ".", ldflags: "-s -w" };
    go::program("kstatus", &source, progress)
}

/// What envtest's users have installed already; it lacks the controller manager.
fn from_assets(name: &str) -> Option<PathBuf> {
    let found = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS")?).join(name);
    found.is_file().then_some(found)
}

fn to_stderr(line: &str) {
    eprintln!("{line}");
}
