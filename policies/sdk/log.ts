// Lines for the Shield's log, which carry the policy's name. The host cuts a line at 1 KiB and keeps
// 32 lines of a call.
import { host_log } from "./arqon_host_v1.ts";

function write(level: i32, message: string): void {
  const bytes = String.UTF8.encode(message);
  host_log(level, changetype<usize>(bytes), <usize> bytes.byteLength);
}

/** For debugging the policy. */
export function debug(message: string): void {
  write(0, message);
}

/** For the operator of the bus. */
export function info(message: string): void {
  write(1, message);
}

/** Something that an operator should check. */
export function warn(message: string): void {
  write(2, message);
}

/** Something that is wrong. */
export function error(message: string): void {
  write(3, message);
}
