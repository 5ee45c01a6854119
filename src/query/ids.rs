//! Ids in JSON: the numbers that they are.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{AttemptId, DeliveryId, EventId, ReplayId};

macro_rules! numbers {
    ($($id:ty),+ $(,)?) => {$(
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_i64(self.get())
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                i64::deserialize(from).map(Self::new)
            }
        }
    )+};
}

numbers!(EventId, DeliveryId, AttemptId, ReplayId);
