/** Epochs that a subscriber may name in place of its room's. */

/** No room's epoch. A position without an epoch has it: it may be of another copy of the log. */
export const NO_EPOCH = "-";
/** With offset 0: the beginning of the room's present epoch. */
export const ANY_EPOCH = "*";
