/**
 * The bucket of rooms' documents, and the parts of ROOM_UPDATE that Brains and Shields share: the id of each, and the
 * mark of a repeated one. `brain/rooms/store/room_event.ts` has its content.
 */

/** Keys: `[tenant_id, room_id]`. */
export const ROOMS_BUCKET = "ARQON_ROOMS";

/** The type of the event. */
export const ROOM_UPDATE = "ROOM_UPDATE";

/**
 * Spine header of a repeated ROOM_UPDATE: its age in ms. Subscribers that received it before drop it; later subscribers
 * treat it as past.
 */
export const AGAIN_HEADER = "x-arqon-again";

/**
 * Spine header of a ROOM_UPDATE that is the first change of a room after its creation: its epoch has none before. Its
 * JSON has `"first":true`, for clients.
 */
export const FIRST_HEADER = "x-arqon-first";

/** How long a Brain remembers the last change of a room and repeats it for returning clients, in ms. */
export const CHANGES_KEPT_MS = 600_000;

/** The number of a change in a room. Versions in one epoch have no gaps. */
export interface ChangeNumber {
  readonly epoch: string;
  readonly version: number;
}

/** The message id of a change. */
export function changeId({ epoch, version }: ChangeNumber): string {
  return `room:${epoch}:${version}`;
}

/** The change in a message id; undefined for any other id. */
export function readChangeId(message_id: string): ChangeNumber | undefined {
  const end = message_id.lastIndexOf(":");
  if (!message_id.startsWith("room:") || end <= 5) return undefined;
  const digits = message_id.slice(end + 1);
  const version = Number(digits);
  if (!Number.isSafeInteger(version) || version < 1 || String(version) !== digits) return undefined;
  return { epoch: message_id.slice(5, end), version };
}
