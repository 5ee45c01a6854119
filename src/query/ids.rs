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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_of_json() {
        let ids = [EventId::new(9_007_199_254_740_991), EventId::new(-1)];
        let text = serde_json::to_string(&ids).unwrap();
        assert_eq!(text, "[9007199254740991,-1]");
        assert_eq!(serde_json::from_str::<[EventId; 2]>(&text).unwrap(), ids);
        assert!(serde_json::from_str::<EventId>("\"7\"").is_err());
    }
}
