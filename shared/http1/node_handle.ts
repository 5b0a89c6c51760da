/**
 * The handle below a socket or a server of `node:net` and `node:tls`: Node and Deno both keep it
 * under `_handle`, undocumented. Every use of it by our own listener goes through here, with its
 * reason. `tls_door_test.ts` fails when a Deno has it otherwise.
 */
import type { Server, Socket } from "node:net";

/** The part of a handle that is used. Returned numbers are 0, or an error. */
export interface NodeHandle {
  /** Called with bytes that have come; with undefined at the end. To be set before `readStart`. */
  onread: (bytes: ArrayBuffer | undefined) => void;
  readStart(): number;
  /** Stops reading: the system keeps what comes. */
  readStop(): number;
  /**
   * Writes the bytes, which are copied; one call at a time. `oncomplete` is called once the system
   * has taken them.
   */
  writeBuffer(request: { oncomplete: (problem: number) => void }, bytes: Uint8Array): number;
  /** Listens, for a server; also when it listens already. */
  listen(backlog: number): number;
}

/** The handle of a socket or server; null once it is closed. */
export function handleOf(socket: Socket | Server): NodeHandle | null {
  return (socket as unknown as { readonly _handle: NodeHandle | null })._handle;
}
