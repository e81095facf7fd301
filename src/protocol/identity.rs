//! TEMP
use super::ids::*;
/// x
#[derive(Debug, Clone, Default)]
pub struct KnownIdentities;
/// x
pub struct Standing {
    /// x
    pub other_directory: bool,
}
impl KnownIdentities {
    /// x
    pub fn judge(&self, _: &NodeId, _: ActorId, _: u64) -> Result<Standing, String> {
        Ok(Standing { other_directory: false })
    }
    /// x
    pub fn learn(&mut self, _: &NodeId, _: ActorId, _: u64) -> bool {
        false
    }
}
