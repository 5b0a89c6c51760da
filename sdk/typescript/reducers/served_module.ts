/**
 * The module that is a room, from the bus: page by page, and held to its digest. Another one that is deployed meanwhile
 * is read from its first byte.
 */
import { ArqonError } from "@arqon/proto";
import type { Room } from "../room/room.ts";

/** A module as the bus gives it: metered, so that it ends. */
export interface ServedModule {
  /** Hex SHA-256 of the module that was deployed. */
  readonly module: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How much a call may do. */
  readonly fuel_units: number;
}

interface Page {
  readonly module: string;
  readonly sha256: string;
  readonly size_bytes: number;
  readonly fuel_units: number;
  readonly bytes: string;
}

/** Deploys in the middle of it that are borne. */
const ATTEMPTS = 8;

async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function pageOf(room: Room, from: number, signal?: AbortSignal): Promise<Page> {
  const options = signal === undefined ? {} : { signal };
  const answer = await room.command("room.module", from === 0 ? {} : { from }, options);
  return answer.json() as Page;
}

/** Reads it; undefined: another one was deployed. */
async function readOne(room: Room, signal?: AbortSignal): Promise<ServedModule | undefined> {
  const first = await pageOf(room, 0, signal);
  const { module, sha256, size_bytes, fuel_units } = first;
  const bytes = new Uint8Array(size_bytes);
  let page = first;
  for (let at = 0;;) {
    const part = atob(page.bytes);
    if (page.sha256 !== sha256 || part.length === 0 || at + part.length > size_bytes) {
      return undefined;
    }
    for (let index = 0; index < part.length; index++) bytes[at + index] = part.charCodeAt(index);
    at += part.length;
    if (at === size_bytes) break;
    page = await pageOf(room, at, signal);
  }
  return await sha256Of(bytes) === sha256 ? { module, bytes, fuel_units } : undefined;
}

/** Reads the module of a room. Rejects with `invalid-command` where its class gives none, and as any command. */
export async function servedModule(room: Room, signal?: AbortSignal): Promise<ServedModule> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await readOne(room, signal);
    if (found !== undefined) return found;
  }
  throw new ArqonError("answer-timeout", `room.module of ${room.id}`);
}
