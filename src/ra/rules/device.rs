//! The device that a certificate is for, and its right to enroll. Its quota and its key are checked in the
//! step that records the issuance: two requests at once must not both pass.

use super::{Case, Comparison, Outcome, Rule};
use crate::{
    policy::DeviceMode,
    ra::Error,
    store::{DeviceStanding, Unmet},
    types::{Code, DeviceId, Label, Rejection, Serial, Time},
};
use std::borrow::Cow;

pub(super) const DEVICE: Rule = Rule {
    name: "device",
    reason: "All proofs of a client belong to one device, which enrolls under its labels and in its time. Blocked devices do not, nor unregistered ones under a label for registered devices.",
    check: device,
    shows: |case| Comparison {
        got: case.device.shown(),
        accepts: match case.rules().devices.mode {
            DeviceMode::Registered => "what identifies one registered device".to_owned(),
            DeviceMode::JustInTime | DeviceMode::Any => {
                "what identifies one device, or none that is registered".to_owned()
            }
        },
    },
};

fn device(case: &Case<'_>) -> Result<Outcome, Error> {
    const UNREGISTERED: Outcome = Outcome::NotApplicable("nobody has registered the device");
    let registered = case.rules().devices.mode == DeviceMode::Registered;
    let one = case.device.one().map_err(|[one, other]| {
        let got = format!("{one} and {other}");
        Error::Forbidden(Rejection::of(Code::DeviceAmbiguous, got, "proofs of one device"))
    })?;
    let Some(one) = one else {
        return if registered { Err(unregistered(case.device.shown())) } else { Ok(UNREGISTERED) };
    };
    let Some(record) = one.record else {
        return match registered || one.is_granted {
            true => Err(unregistered(case.device.shown())),
            false => Ok(UNREGISTERED),
        };
    };
    if record.standing != DeviceStanding::Enabled {
        return Err(Error::Forbidden(standing(one.id, record.standing)));
    }
    if !record.permits(case.policy.label.as_ref()) {
        let labels = record.labels.iter().flatten().map(Label::as_str).collect::<Vec<_>>();
        return Err(Error::Forbidden(Rejection::of(
            Code::DeviceLabel,
            match &case.policy.label {
                Some(label) => format!("label {label}"),
                None => "no label".to_owned(),
            },
            format!("label {}", labels.join(" or ")),
        )));
    }
    if let Some(from) = record.from.filter(|from| case.now < *from) {
        let wait = u32::try_from(from.since(case.now).as_secs()).unwrap_or(u32::MAX);
        return Err(Error::TooEarly(window(record.from, record.until), wait));
    }
    if record.until.is_some_and(|until| case.now >= until) {
        return Err(Error::TooLate(window(record.from, record.until)));
    }
    Ok(Outcome::Passed)
}

fn unregistered(proven: String) -> Error {
    Error::Forbidden(Rejection::of(
        Code::DeviceUnregistered,
        proven,
        "a proof that identifies a registered device",
    ))
}

/// The rejection of a device that is blocked or retired.
pub(in crate::ra) fn standing(id: &DeviceId, standing: DeviceStanding) -> Rejection {
    let got = match standing {
        DeviceStanding::Retired => format!("device {id}, which is retired"),
        DeviceStanding::Blocked | DeviceStanding::Enabled => {
            format!("device {id}, which is blocked")
        }
    };
    Rejection::of(Code::DeviceStanding, got, "a device that is neither blocked nor retired")
}

/// The rejection of the certificate of a device that is blocked or retired.
pub(in crate::ra) fn barred(id: &DeviceId) -> Rejection {
    Rejection::of(
        Code::DeviceStanding,
        format!("a certificate of device {id}, which is blocked or retired"),
        "a certificate of another device",
    )
}

fn window(from: Option<Time>, until: Option<Time>) -> Rejection {
    let accepts = match (from, until) {
        (Some(from), Some(until)) => format!("one from {from} until {until}"),
        (Some(from), None) => format!("one from {from}"),
        (None, Some(until)) => format!("one until {until}"),
        (None, None) => "one at any time".to_owned(),
    };
    Rejection::of(Code::DeviceWindow, "a request at another time", accepts)
}

/// The rejection of a token, to its holder.
pub(in crate::ra) fn wrong_token(
    got: impl Into<Cow<'static, str>>,
    expected: impl Into<Cow<'static, str>>,
) -> Rejection {
    Rejection::of(Code::AuthToken, got.into(), expected)
}

pub(in crate::ra) fn expired_token(end: Time) -> Rejection {
    wrong_token(format!("a token that expired at {end}"), "a token before its end")
}

pub(in crate::ra) fn disabled_token() -> Rejection {
    wrong_token("a token that was disabled", "another token")
}

fn consumed_token(serial: &Serial) -> Rejection {
    let got = format!("a token that was used for certificate {serial}");
    wrong_token(got, "another token; or the request that used it, again")
}

/// A condition that did not hold when the issuance was to be recorded.
impl From<Unmet> for Error {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::UnknownToken(_) => {
                Self::Unauthenticated(wrong_token("a token that is not on record", "another token"))
            }
            Unmet::ConsumedToken(serial) => Self::Unauthenticated(consumed_token(&serial)),
            Unmet::ExpiredToken(end) => Self::Unauthenticated(expired_token(end)),
            Unmet::DisabledToken => Self::Unauthenticated(disabled_token()),
            Unmet::UnknownDevice(id) => unregistered(match id {
                Some(id) => format!("device {id}"),
                None => "nothing that identifies a device".to_owned(),
            }),
            Unmet::Standing(id, of) => Self::Forbidden(standing(&id, of)),
            Unmet::Window { from, until } => Self::Forbidden(window(from, until)),
            Unmet::Quota { quota, valid } => Self::Forbidden(Rejection::of(
                Code::DeviceQuota,
                format!("a request of a device with {valid} valid certificates"),
                format!("fewer than {quota} before it; or a renewal"),
            )),
            Unmet::Key { device, serial } => Self::Forbidden(Rejection::of(
                Code::DeviceOwnKey,
                match device {
                    Some(device) => format!("the key of certificate {serial} of device {device}"),
                    None => format!("the key of certificate {serial}, which names no device"),
                },
                "a key of this device only",
            )),
        }
    }
}
