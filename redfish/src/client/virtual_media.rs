//! Virtual CDs: finding the slots, taking media out and putting them in. "Already inserted" is never believed:
//! some BMCs show the old medium for a while, so an insert always ejects, inserts and looks again.

use super::Error;
use super::bmc::{Bmc, link, links, text};
use super::media_payload::Payload;
use super::retry::{Verdict, poll_until, with_retries};
use serde_json::{Value, json};

/// What is in the virtual CD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    /// Path of the slot.
    pub slot: String,
    pub image: Option<String>,
    pub inserted: bool,
    /// The host sees the medium; BMCs that do not say count as connected when inserted.
    pub connected: bool,
}

/// Parameters a BMC may ask for, one refusal at a time.
const LONGEST_LADDER: usize = 6;

struct Slot {
    path: String,
    value: Value,
}

impl Slot {
    fn action(&self, name: &str) -> Option<&str> {
        self.value.pointer(&format!("/Actions/#VirtualMedia.{name}/target"))?.as_str()
    }

    fn media(&self) -> Media {
        let connected_via = text(&self.value, "ConnectedVia");
        let not_connected = connected_via.as_deref() == Some("NotConnected");
        let image = text(&self.value, "Image");
        let inserted = self.value.get("Inserted").and_then(Value::as_bool).unwrap_or(image.is_some());
        Media { slot: self.path.clone(), image, inserted, connected: inserted && !not_connected }
    }
}

impl Bmc {
    /// The first virtual CD with something in it, else the one that would be used.
    pub async fn media(&self) -> Result<Media, Error> {
        let slots = self.slots().await?;
        let media: Vec<Media> = slots.iter().map(Slot::media).collect();
        let found = media.iter().find(|media| media.inserted).or(media.first()).cloned();
        found.ok_or_else(|| self.no_slot())
    }

    /// Empties the virtual CDs, inserts `url` into the first that takes it, and sees it inserted.
    pub async fn insert(&self, url: &str) -> Result<(), Error> {
        let slots = self.slots().await?;
        if slots.is_empty() {
            return Err(self.no_slot());
        }
        self.eject_all(&slots).await?;
        let mut tries = vec![];
        for slot in &slots {
            match self.insert_into(slot, url).await {
                Ok(()) => return Ok(()),
                Err(error @ (Error::Refused { .. } | Error::TaskFailed { .. } | Error::TimedOut { .. })) => {
                    tracing::debug!(bmc = self.connection.bmc, slot = slot.path, %error, "trying the next slot");
                    tries.push(format!("{}: {error}", slot.path));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NotInserted { bmc: self.connection.bmc.clone(), url: url.into(), tries })
    }

    /// Empties the virtual CDs; nothing inserted is a success.
    pub async fn eject(&self) -> Result<(), Error> {
        self.eject_all(&self.slots().await?).await
    }

    async fn eject_all(&self, slots: &[Slot]) -> Result<(), Error> {
        for slot in slots.iter().filter(|slot| slot.media().inserted) {
            self.eject_from(slot).await?;
        }
        Ok(())
    }

    async fn insert_into(&self, slot: &Slot, url: &str) -> Result<(), Error> {
        with_retries(&self.connection.timeouts, "insert", || self.insert_once(slot, url)).await?;
        let timeouts = &self.connection.timeouts;
        let what = format!("{url} to show in {}", slot.path);
        poll_until(timeouts, &self.connection.bmc, &what, timeouts.settle, || async move {
            let media = self.slot(&slot.path).await?.media();
            let there = media.inserted && media.image.as_deref().is_none_or(|image| same_image(image, url));
            Ok(if there {
                Ok(())
            } else {
                Err(format!("inserted {}, image {:?}", media.inserted, media.image))
            })
        })
        .await
    }

    async fn insert_once(&self, slot: &Slot, url: &str) -> Result<(), Verdict> {
        let Err(error) = self.climb(slot, url).await else { return Ok(()) };
        match &error {
            // The answer was lost, perhaps not the request.
            Error::NoAnswer { .. } | Error::Broken { .. } => {
                let media = self.slot(&slot.path).await.map_err(Verdict::Final)?.media();
                if media.inserted && media.image.as_deref().is_some_and(|image| same_image(image, url)) {
                    return Ok(());
                }
                Err(Verdict::Again { error, reason: "the answer was lost", after: None })
            }
            // Straight after an eject some BMCs answer with server errors.
            Error::Refused { status: 500.., .. } => {
                Err(Verdict::Again { error, reason: "the slot may not be ready", after: None })
            }
            _ => Err(Verdict::Final(error)),
        }
    }

    async fn climb(&self, slot: &Slot, url: &str) -> Result<(), Error> {
        let action = slot.action("InsertMedia");
        let mut payload = Payload::new(url, action.is_none(), &self.quirks);
        for rung in 1.. {
            let done = match action {
                Some(target) => self.act(target, &payload.body()).await,
                None => self.patch(&slot.path, &payload.body()).await,
            };
            let Err(error) = done else { return Ok(()) };
            let adapted = error.explanation().is_some_and(|refusal| payload.adapt(refusal));
            if !adapted || rung >= LONGEST_LADDER {
                return Err(error);
            }
            tracing::debug!(bmc = self.connection.bmc, %error, "asking again as the BMC wants it");
        }
        Ok(())
    }

    async fn eject_from(&self, slot: &Slot) -> Result<(), Error> {
        let done = match slot.action("EjectMedia") {
            // Some refuse an action without a body.
            Some(target) => self.act(target, &json!({})).await,
            None => self.patch(&slot.path, &json!({"Image": null, "Inserted": false})).await,
        };
        let empty = |slot: &Slot| !slot.media().inserted || !slot.media().connected;
        if let Err(error) = done
            && !empty(&self.slot(&slot.path).await?)
        {
            return Err(error);
        }
        let timeouts = &self.connection.timeouts;
        let what = format!("{} to be empty", slot.path);
        poll_until(timeouts, &self.connection.bmc, &what, timeouts.settle, || async move {
            let slot = self.slot(&slot.path).await?;
            Ok(if empty(&slot) { Ok(()) } else { Err(format!("image {:?}", slot.media().image)) })
        })
        .await
    }

    /// Slots that take CDs, those of the system first; a DVD drive is taken where there is no CD drive.
    async fn slots(&self) -> Result<Vec<Slot>, Error> {
        let mut slots: Vec<Slot> = vec![];
        for owner in std::iter::once(&self.system_path).chain(&self.manager_paths) {
            let owner = self.connection.read(owner).await?;
            let Some(collection) = link(&owner, "VirtualMedia") else { continue };
            let mut found = self.slots_in(collection).await?;
            found.retain(|slot| slots.iter().all(|known| known.path != slot.path));
            found.sort_by_key(|slot| !takes(&slot.value, "CD"));
            slots.extend(found);
        }
        if let Some(only) = self.quirks.only_slot {
            slots.retain(|slot| text(&slot.value, "Id").as_deref() == Some(only));
        }
        Ok(slots)
    }

    async fn slots_in(&self, collection: &str) -> Result<Vec<Slot>, Error> {
        let members = match self.connection.read(collection).await {
            Ok(members) => links(members.get("Members")),
            Err(Error::Refused { status: 404 | 405 | 501, .. }) => vec![],
            Err(error) => return Err(error),
        };
        let mut slots = vec![];
        for path in members {
            let slot = self.slot(&path).await?;
            if self.is_useful(&slot.value) {
                slots.push(slot);
            }
        }
        Ok(slots)
    }

    async fn slot(&self, path: &str) -> Result<Slot, Error> {
        Ok(Slot { path: path.into(), value: self.connection.read(path).await? })
    }

    fn is_useful(&self, slot: &Value) -> bool {
        let id = text(slot, "Id").unwrap_or_default();
        (takes(slot, "CD") || takes(slot, "DVD"))
            && !self.quirks.useless_slots.iter().any(|prefix| id.starts_with(prefix))
    }

    fn no_slot(&self) -> Error {
        let what = "virtual CD or DVD; virtual media may need a licence".into();
        Error::Lacks { bmc: self.connection.bmc.clone(), what }
    }
}

fn takes(slot: &Value, kind: &str) -> bool {
    let kinds = slot.get("MediaTypes").and_then(Value::as_array);
    kinds.into_iter().flatten().filter_map(Value::as_str).any(|each| each == kind)
}

/// BMCs show the URL as given, or cut to host and path.
fn same_image(shown: &str, url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split_once('/').map_or(rest, |(_, path)| path);
    shown == url || shown.ends_with(path)
}
