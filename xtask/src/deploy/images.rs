//! `deploy/images/images.env`: the one file that names images, and their digests.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::deploy::facts::Facts;
use crate::deploy::object::Pairs;
use crate::workspace::Workspace;

/// The file.
pub(crate) const FILE: &str = "deploy/images/images.env";
const CONTAINERFILE: &str = "deploy/container/Containerfile";

/// What is wrong with the file itself, and with the container file that builds on it.
pub(crate) fn breaches(workspace: &Workspace, facts: &Facts, release: bool) -> Result<Vec<String>> {
    let mut breaches = file_breaches(&facts.images, release, &facts.version);
    let container = fs::read_to_string(workspace.root.join(CONTAINERFILE)).context(CONTAINERFILE)?;
    breaches.extend(container_breaches(&container, &facts.images));
    Ok(breaches)
}

fn file_breaches(images: &Pairs, release: bool, version: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, image) in images.iter().filter(|(name, _)| name.starts_with("IMAGE_")) {
        let (plain, digest) =
            image.split_once('@').map_or((image.as_str(), None), |(plain, digest)| (plain, Some(digest)));
        let path = plain.rsplit('/').next().unwrap_or_default();
        if !plain.contains('/') || !plain.split('/').next().is_some_and(|host| host.contains('.')) {
            breaches.push(format!("{FILE}: {name} names no registry: `{image}`"));
        }
        match path.split_once(':') {
            None => breaches.push(format!("{FILE}: {name} has no tag: `{image}`")),
            Some((_, "latest")) => breaches.push(format!("{FILE}: {name} takes whatever is the latest: `{image}`")),
            Some(_) => {}
        }
        match digest {
            Some(digest) if !is_digest(digest) => {
                breaches.push(format!("{FILE}: {name}: `{digest}` is no digest: sha256: and 64 hexadecimal digits"));
            }
            None if release => {
                breaches
                    .push(format!("{FILE}: {name} has no digest: `cargo xtask deploy pin {name} sha256:…` writes it"));
            }
            _ => {}
        }
    }
    let own = images.get("IMAGE_COFFRE").and_then(|image| image.split('@').next()?.rsplit_once(':'));
    if own.is_none_or(|(_, tag)| tag != version) || images.get("RELEASE").is_none_or(|release| release != version) {
        breaches.push(format!("{FILE}: IMAGE_COFFRE and RELEASE are of version {version}, as Cargo.toml has it"));
    }
    breaches
}

/// Every stage builds on an argument without a default, which the file names.
fn container_breaches(container: &str, images: &Pairs) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut stages = 0;
    for line in container.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        stages += 1;
        let base = line.split(' ').next().unwrap_or_default();
        let argument = base.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        let declared = container.lines().any(|line| line.strip_prefix("ARG ") == Some(argument));
        if !images.contains_key(argument) || !declared {
            breaches.push(format!("{CONTAINERFILE}: `FROM {base}` names no image of {FILE}"));
        }
    }
    if stages < 2 {
        breaches.push(format!("{CONTAINERFILE}: what builds is not apart from what runs"));
    }
    let last = container.rsplit("\nFROM ").next().unwrap_or_default();
    let user = last.lines().filter_map(|line| line.strip_prefix("USER ")).next_back();
    if user != Some("65532:65532") {
        breaches.push(format!("{CONTAINERFILE}: it runs as 65532:65532, and not as {}", user.unwrap_or("root")));
    }
    if last.lines().any(|line| line.starts_with("RUN ")) {
        breaches.push(format!("{CONTAINERFILE}: the last stage has no shell, and runs nothing"));
    }
    breaches
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            && hex.bytes().any(|byte| byte != b'0')
    })
}

/// Writes the digest of an image.
pub(crate) fn pin(workspace: &Workspace, name: &str, digest: &str) -> Result<ExitCode> {
    let path = workspace.root.join(FILE);
    fs::write(&path, pinned(&fs::read_to_string(&path)?, name, digest)?)?;
    Ok(ExitCode::SUCCESS)
}

fn pinned(file: &str, name: &str, digest: &str) -> Result<String> {
    if !is_digest(digest) {
        bail!("`{digest}` is no digest: sha256: and 64 hexadecimal digits");
    }
    let mut found = false;
    let lines = file.lines().map(|line| match line.split_once('=') {
        Some((known, image)) if known == name && name.starts_with("IMAGE_") => {
            found = true;
            format!("{known}={}@{digest}\n", image.split('@').next().unwrap_or_default())
        }
        _ => format!("{line}\n"),
    });
    let text: String = lines.collect();
    if !found {
        bail!("{FILE} has no `{name}`");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::object::pairs;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn found(image: &str, release: bool) -> Vec<String> {
        file_breaches(&pairs(&format!("RELEASE=1.2.3\nIMAGE_COFFRE={image}")).unwrap(), release, "1.2.3")
    }

    #[test]
    fn a_release_demands_digests_and_everybody_else_takes_them() {
        let bare = "ghcr.io/coffre/coffre:1.2.3";
        assert_eq!(found(bare, false), [""; 0]);
        assert_eq!(found(&format!("{bare}@{DIGEST}"), true), [""; 0]);
        assert!(found(bare, true)[0].contains("has no digest"));
        for broken in ["sha256:0", "sha512:0", &DIGEST.replace('a', "g"), &format!("sha256:{}", "0".repeat(64))] {
            assert!(found(&format!("{bare}@{broken}"), false)[0].contains("is no digest"), "{broken}");
        }
    }

    #[test]
    fn an_image_names_its_registry_its_tag_and_the_version() {
        for (image, part) in [
            ("coffre:1.2.3", "no registry"),
            ("coffre/coffre:1.2.3", "no registry"),
            ("ghcr.io/coffre/coffre", "no tag"),
            ("ghcr.io/coffre/coffre:latest", "latest"),
            ("ghcr.io/coffre/coffre:1.2.4", "version 1.2.3"),
        ] {
            assert!(
                found(image, false).iter().any(|breach| breach.contains(part)),
                "{image}: {:?}",
                found(image, false)
            );
        }
    }

    #[test]
    fn a_digest_is_written_in_the_place_of_the_one_before() {
        let file = "# About.\nRELEASE=1\nIMAGE_A=x.io/a:1\nIMAGE_B=x.io/b:1@sha256:old\n";
        let written = pinned(&pinned(file, "IMAGE_A", DIGEST).unwrap(), "IMAGE_B", DIGEST).unwrap();
        assert_eq!(written, format!("# About.\nRELEASE=1\nIMAGE_A=x.io/a:1@{DIGEST}\nIMAGE_B=x.io/b:1@{DIGEST}\n"));
        assert!(pinned(file, "IMAGE_C", DIGEST).is_err());
        assert!(pinned(file, "RELEASE", DIGEST).is_err());
        assert!(pinned(file, "IMAGE_A", "sha256:short").is_err());
    }

    #[test]
    fn a_container_file_builds_on_named_images_and_runs_as_nobody() {
        let images = pairs("IMAGE_BUILD=a\nIMAGE_RUNTIME=b").unwrap();
        let good = "ARG IMAGE_BUILD\nARG IMAGE_RUNTIME\nFROM ${IMAGE_BUILD} AS build\nRUN x\nFROM ${IMAGE_RUNTIME}\nUSER 65532:65532\n";
        assert_eq!(container_breaches(good, &images), [""; 0]);
        for (from, to, part) in [
            ("FROM ${IMAGE_RUNTIME}", "FROM debian:13", "FROM debian:13"),
            ("ARG IMAGE_RUNTIME", "ARG IMAGE_RUNTIME=debian", "names no image"),
            ("USER 65532:65532", "", "and not as root"),
            ("USER 65532:65532", "USER 65532:65532\nRUN y", "runs nothing"),
            ("FROM ${IMAGE_BUILD} AS build\nRUN x\n", "", "not apart"),
        ] {
            let found = container_breaches(&good.replace(from, to), &images);
            assert!(found.iter().any(|breach| breach.contains(part)), "{to}: {found:?}");
        }
    }
}
