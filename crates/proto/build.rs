//! Compiles `proto/` without `protoc`, writes the descriptor sets, and gives every message that holds a secret a `Debug`
//! that leaves the secret out. What is secret is said once, in the proto: `(coffre.options.v1.rules).secret`.

#![allow(clippy::disallowed_methods, reason = "cargo tells a build script through its environment")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    // The encoded set keeps custom options, which prost's own descriptor types drop.
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let encoded = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(encoded.as_slice())?;
    fs::write(out.join("descriptors.bin"), &encoded)?;

    let public: Vec<&PathBuf> = files.iter().filter(|file| !file.to_string_lossy().contains("/internal/")).collect();
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).open_files(public)?;
    fs::write(out.join("public_descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let mut config = tonic_prost_build::configure();
    let mut redacted = String::new();
    for message in pool.all_messages().filter(|message| message.fields().any(|field| is_secret(&field))) {
        config = config.skip_debug([format!(".{}", message.full_name())]);
        write_redacted_debug(&mut redacted, &message)?;
    }
    fs::write(out.join("redacted_debug.rs"), redacted)?;

    let set = prost_types::FileDescriptorSet::decode(encoded.as_slice())?;
    config.compile_well_known_types(false).compile_fds(set)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

fn is_secret(field: &FieldDescriptor) -> bool {
    field.options().extensions().any(|(extension, value)| {
        extension.full_name() == "coffre.options.v1.rules"
            && matches!(value, Value::Message(rules) if rules
                .get_field_by_name("secret")
                .is_some_and(|secret| matches!(secret.as_ref(), Value::Bool(true))))
    })
}

fn write_redacted_debug(out: &mut String, message: &MessageDescriptor) -> Result<(), std::fmt::Error> {
    let path = message.full_name().replace('.', "::");
    writeln!(out, "impl ::core::fmt::Debug for crate::{path} {{")?;
    writeln!(out, "    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
    write!(out, "        f.debug_struct({:?})", message.name())?;
    for field in message.fields() {
        let name = field.name();
        if is_secret(&field) {
            write!(out, ".field({name:?}, &\"[secret]\")")?;
        } else {
            write!(out, ".field({name:?}, &self.{name})")?;
        }
    }
    writeln!(out, ".finish()\n    }}\n}}")
}
