//! `estd device import`: checks the whole file, stages its devices in pieces, and registers them in
//! one step. The file is read twice, so that memory does not depend on its size.

use super::file::{DeviceLine, DeviceLines};
use crate::{
    admin, api,
    api::ErrorKind,
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::{BadLine, Failure, FailureKind},
        output::{json, line},
        progress::Progress,
        user::warn_of_labels,
    },
    pki::sha256,
    store::Identifier,
    types::counted,
};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

/// Devices in a call.
const PIECE: usize = 500;

/// Bytes of JSON in a call: half of what the server accepts.
const BYTES: usize = 128 << 10;

/// Errors that are shown. The others are counted.
const SHOWN: usize = 50;

/// Labels that are warned of.
const LABELS: usize = 10;

/// The errors of a file's lines.
#[derive(Default)]
struct LineErrors {
    shown: Vec<BadLine>,
    count: usize,
}

impl LineErrors {
    fn add(&mut self, line: u64, error: String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(BadLine { line, error });
        }
    }

    fn failure(self, file: &Path) -> Failure {
        let more = match self.count - self.shown.len() {
            0 => String::new(),
            more => format!(", {more} of them not shown"),
        };
        let errors = counted(self.count, "error");
        Failure::Lines {
            what: format!("{}: {errors}{more}; nothing was registered", file.display()),
            remedy: "correct the lines and run it again".to_owned(),
            errors: self.shown,
        }
    }
}

/// The devices of a call, with their lines.
#[derive(Default)]
struct DevicePiece {
    lines: Vec<u64>,
    devices: Vec<api::NewDevice>,
    bytes: usize,
}

pub(super) fn import_devices(context: &Context, file: &Path, dry_run: bool) -> Result<(), Failure> {
    let count = check(context, file)?;
    AdminClient::with(context, async |client| {
        if dry_run {
            return compare(client, file, count).await;
        }
        let import = client.call(api::BeginImport {}).await?.import;
        let staged = stage(client, file, count, import).await;
        if staged.is_err() {
            // Without an answer, too, nothing is registered: the next import discards it.
            let _ = client.call(api::AbandonImport { import }).await;
        }
        staged?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.chars().take(200).collect();
        client.call(api::FinishImport { import, count, file: Some(name) }).await
    })?;
    if context.json {
        let file = file.display().to_string();
        return json(&serde_json::json!({ "devices": count, "dry_run": dry_run, "file": file }));
    }
    let devices = counted(count, "device");
    match dry_run {
        true => line(&format!("{devices} can be registered")),
        false if count == 1 => line("1 device is registered"),
        false => line(&format!("{devices} are registered")),
    }
}

/// Checks each line by itself and against the other lines. Returns the number of devices.
fn check(context: &Context, file: &Path) -> Result<u64, Failure> {
    let (mut lines, mut errors) = (DeviceLines::open(file)?, LineErrors::default());
    let mut progress = Progress::new("lines checked", None);
    // The line of each id and identifier, by half of its SHA-256: 30 bytes each.
    let mut owners = HashMap::new();
    let mut labels = BTreeSet::new();
    let mut count = 0_u64;
    while let Some(read) = lines.next_line()? {
        count += 1;
        progress.advance(1);
        let DeviceLine { line, device, errors: unread } = read;
        let is_read = unread.is_empty();
        unread.into_iter().for_each(|error| errors.add(line, error));
        if !is_read {
            continue;
        }
        for error in admin::check_new_device(&device) {
            errors.add(line, error.to_string());
        }
        let id = format!("device {}", device.id);
        let identifiers = device.identifiers.iter();
        let identifiers = identifiers.filter_map(|text| text.parse::<Identifier>().ok());
        for name in [id].into_iter().chain(identifiers.map(|one| format!("identifier {one}"))) {
            let mut key = [0; 16];
            key.iter_mut().zip(sha256(name.as_bytes())).for_each(|(byte, from)| *byte = from);
            let first = *owners.entry(key).or_insert(line);
            if first != line {
                errors.add(line, format!("{name}: is in line {first}, too; expected: it once"));
            }
        }
        if labels.len() < LABELS {
            labels.extend(device.labels.into_iter().flatten());
        }
    }
    drop(progress);
    if errors.count > 0 {
        return Err(errors.failure(file));
    }
    if count == 0 {
        let what = format!("{}: got no device; expected: one or more", file.display());
        return Err(Failure::arguments(what, "add lines after the first one"));
    }
    let labels: Vec<String> = labels.into_iter().collect();
    warn_of_labels(context, &labels, "correct the file");
    Ok(count)
}

/// Stages the devices. If one cannot be registered, finds all of those.
async fn stage(client: &AdminClient, file: &Path, count: u64, import: u64) -> Result<(), Failure> {
    let mut pieces = Pieces::open(file, count)?;
    let mut progress = Progress::new("devices", Some(count));
    while let Some(piece) = pieces.next_piece()? {
        let size = piece.devices.len();
        let call = api::StageDevices { import, devices: piece.devices.clone() };
        match client.call(call).await {
            Ok(()) => progress.advance(size),
            Err(failure) if is_conflict(&failure) => {
                let mut errors = LineErrors::default();
                find_conflicts(client, piece, &mut pieces, &mut errors).await?;
                return Err(if errors.count > 0 { errors.failure(file) } else { failure });
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Compares the devices with those on record.
async fn compare(client: &AdminClient, file: &Path, count: u64) -> Result<(), Failure> {
    let (mut pieces, mut errors) = (Pieces::open(file, count)?, LineErrors::default());
    if let Some(first) = pieces.next_piece()? {
        find_conflicts(client, first, &mut pieces, &mut errors).await?;
    }
    if errors.count > 0 { Err(errors.failure(file)) } else { Ok(()) }
}

/// Notes the errors of a piece and of those after it.
async fn find_conflicts(
    client: &AdminClient,
    first: DevicePiece,
    rest: &mut Pieces,
    errors: &mut LineErrors,
) -> Result<(), Failure> {
    let mut progress = Progress::new("devices compared", None);
    let mut next = Some(first);
    while let Some(piece) = next {
        let lines: HashMap<String, u64> =
            piece.devices.iter().map(|device| device.id.clone()).zip(piece.lines).collect();
        progress.advance(lines.len());
        let answer = client.call(api::CheckDevices { devices: piece.devices }).await?;
        for failed in answer.failed {
            let line = lines.get(&failed.device).copied().unwrap_or_default();
            errors.add(line, failed.reason.error);
        }
        next = rest.next_piece()?;
    }
    Ok(())
}

const fn is_conflict(failure: &Failure) -> bool {
    matches!(failure, Failure::Failed { kind: FailureKind::Server(ErrorKind::Exists), .. })
}

/// The devices of a checked file, in pieces.
struct Pieces {
    lines: DeviceLines,
    /// A device that had no room in the piece before.
    left: Option<(u64, api::NewDevice, usize)>,
    expected: u64,
    read: u64,
    name: String,
}

impl Pieces {
    fn open(file: &Path, expected: u64) -> Result<Self, Failure> {
        let (lines, name) = (DeviceLines::open(file)?, file.display().to_string());
        Ok(Self { lines, left: None, expected, read: 0, name })
    }

    /// Returns the next piece; none at the end of the file.
    fn next_piece(&mut self) -> Result<Option<DevicePiece>, Failure> {
        let mut piece = DevicePiece::default();
        loop {
            let next = match self.left.take() {
                Some(left) => Some(left),
                None => self.next_device()?,
            };
            let Some((line, device, bytes)) = next else { break };
            let has_room = piece.devices.len() < PIECE && piece.bytes + bytes <= BYTES;
            if !has_room && !piece.devices.is_empty() {
                self.left = Some((line, device, bytes));
                break;
            }
            piece.bytes += bytes;
            piece.lines.push(line);
            piece.devices.push(device);
        }
        if piece.devices.is_empty() && self.read != self.expected {
            return Err(self.changed());
        }
        Ok(Some(piece).filter(|piece| !piece.devices.is_empty()))
    }

    fn next_device(&mut self) -> Result<Option<(u64, api::NewDevice, usize)>, Failure> {
        let Some(DeviceLine { line, device, errors }) = self.lines.next_line()? else {
            return Ok(None);
        };
        self.read += 1;
        if !errors.is_empty() || self.read > self.expected {
            return Err(self.changed());
        }
        let bytes = serde_json::to_vec(&device).map_or(BYTES, |bytes| bytes.len() + 1);
        Ok(Some((line, device, bytes)))
    }

    fn changed(&self) -> Failure {
        Failure::new(
            format!("{} changed while it was imported; nothing was registered", self.name),
            "run it again, when nothing writes to the file",
        )
    }
}
