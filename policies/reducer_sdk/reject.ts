// How a reducer refuses a command.
import { room_reject } from "./arqon_room_v1.ts";

/**
 * Refuses the command and ends it at once: its writes are discarded. `reason` is shown to the
 * sender (512 bytes at most); `code` is 400 to 599 and means what HTTP means by it.
 */
export function reject(reason: string, code: i32 = 409): void {
  const bytes = String.UTF8.encode(reason);
  room_reject(code, changetype<usize>(bytes), <usize> bytes.byteLength);
}
