// What a reducer can ask about the command that it applies. Each function asks the host again.
use crate::host;
use crate::whole_number;
use alloc::string::String;
use alloc::vec::Vec;

/// A command of a user, or of a timer, whose user is "" and whose role is `timer`.
pub struct Command(());

impl Command {
    /// The command that is applied now. `reducer!` makes it.
    #[doc(hidden)]
    pub fn of_now() -> Command {
        Command(())
    }

    fn field(&self, which: i32) -> Vec<u8> {
        host::found_at(unsafe { host::room_field(which) }).unwrap_or_default()
    }

    pub fn name(&self) -> String {
        host::text_of(self.field(0))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.field(1)
    }

    /// The data as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        host::text_of(self.field(1))
    }

    /// The data as a whole number in decimal. Anything else is rejected with 400.
    pub fn number(&self) -> i64 {
        whole_number(&self.text())
    }

    /// The sender: the subject of the token.
    pub fn user(&self) -> String {
        host::text_of(self.field(2))
    }

    pub fn role(&self) -> String {
        host::text_of(self.field(3))
    }

    pub fn room(&self) -> String {
        host::text_of(self.field(4))
    }

    /// The id that the sender chose; "" if there is none.
    pub fn id(&self) -> String {
        host::text_of(self.field(5))
    }

    /// Whether a timer sends it and no user.
    pub fn is_timer(&self) -> bool {
        self.role() == "timer" && self.user().is_empty()
    }

    /// A claim of the sender's token; one that is no string is JSON.
    pub fn claim(&self, name: &str) -> Option<String> {
        host::found_at(unsafe { host::room_claim(name.as_ptr(), name.len()) }).map(host::text_of)
    }

    /// The room's clock in Unix ms. It never goes back.
    pub fn now_ms(&self) -> i64 {
        unsafe { host::room_now() }
    }

    /// Position in the room's log: no two commands of a room have the same.
    pub fn offset(&self) -> i64 {
        unsafe { host::room_offset() }
    }

    /// 64 random bits: new at each call, and the same whenever this command is applied again.
    pub fn random(&self) -> u64 {
        unsafe { host::room_random() as u64 }
    }

    /// What the sender receives when the command is applied; the last one counts.
    pub fn answer(&self, text: &str) {
        unsafe { host::room_answer(text.as_ptr(), text.len()) }
    }
}
