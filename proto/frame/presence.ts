/**
 * Data of the events PRESENCE_UPDATE and PRESENCE_LEAVE, the members of a room for clients: the Protobuf form for
 * `arqon.v1`, the JSON form for `arqon.v1.json`. The Shield's tables and the SDK keep the lists of members.
 */
import { readShape, type Shape, shapeOf } from "../wire/fields.ts";
import type { WireReader } from "../wire/wire.ts";
import { WireWriter } from "../wire/wire_writer.ts";

/** One connection in a room. A user with several connections is several members. */
export interface PresentMember {
  readonly connection_id: string;
  readonly user_id: string;
  /** The member's JSON text, unchanged; "" without one. Not in a leave. */
  readonly meta: string;
  /** Unix ms of the join; an update of meta keeps it. 0 in a leave. */
  readonly joined_ms: number;
}

/** Members that joined, changed or left, and the room's counts after that. */
export interface PresenceChange {
  readonly members: readonly PresentMember[];
  readonly connections: number;
  /** Distinct users, (issuer, subject). */
  readonly users: number;
  /** A page of the answer to SUB; absent or false: a change. Never in a leave. */
  readonly snapshot?: boolean;
}

const MEMBER: Shape = /* @__PURE__ */ shapeOf<PresentMember>("PresenceMember", {
  connection_id: "text",
  user_id: "text",
  meta: "text",
  joined_ms: "int64",
});
const readMember = (reader: WireReader) =>
  reader.embedded((inner) => readShape<PresentMember>(inner, MEMBER));
const LEAVE_FIELDS = { members: readMember, connections: "uint32", users: "uint32" } as const;
const UPDATE: Shape = /* @__PURE__ */ shapeOf<PresenceChange>("PresenceUpdate", {
  ...LEAVE_FIELDS,
  snapshot: "bool",
});
const LEAVE: Shape = /* @__PURE__ */ shapeOf<typeof LEAVE_FIELDS>("PresenceLeave", LEAVE_FIELDS);

const quote: (text: string) => string = JSON.stringify;

/** Protobuf. Throws TypeError for a number out of its field's range. */
export function encodePresenceUpdate(change: PresenceChange): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  for (const { connection_id, user_id, meta, joined_ms } of change.members) {
    const mark = writer.open(1);
    writer.text(1, connection_id);
    writer.text(2, user_id);
    writer.text(3, meta);
    writer.int64(4, joined_ms);
    writer.close(mark);
  }
  writer.uint32(2, change.connections);
  writer.uint32(3, change.users);
  writer.bool(4, change.snapshot);
  return writer.finish();
}

/** Protobuf, with only the ids of the members. */
export function encodePresenceLeave(change: PresenceChange): Uint8Array<ArrayBuffer> {
  const { connections, users } = change;
  const members = change.members.map(({ connection_id, user_id }) => (
    { connection_id, user_id, meta: "", joined_ms: 0 }
  ));
  return encodePresenceUpdate({ members, connections, users });
}

/**
 * JSON: `{"members":[{"connection_id","user_id","meta","joined_ms"}],"connections","users"}`, with
 * `"snapshot":true` in a page. `meta` is inserted as JSON text, null for "": it was validated when the member was
 * created.
 */
export function presenceUpdateJson(change: PresenceChange): string {
  const members = change.members.map(({ connection_id, user_id, meta, joined_ms }) =>
    `{"connection_id":${quote(connection_id)},"user_id":${quote(user_id)}` +
    `,"meta":${meta === "" ? "null" : meta},"joined_ms":${joined_ms}}`
  );
  return `{"members":[${members.join(",")}],${countsJson(change)}` +
    `${change.snapshot === true ? ',"snapshot":true' : ""}}`;
}

/** JSON: `{"members":[{"connection_id","user_id"}],"connections","users"}`. */
export function presenceLeaveJson(change: PresenceChange): string {
  const members = change.members.map(({ connection_id, user_id }) =>
    `{"connection_id":${quote(connection_id)},"user_id":${quote(user_id)}}`
  );
  return `{"members":[${members.join(",")}],${countsJson(change)}}`;
}

function countsJson({ connections, users }: PresenceChange): string {
  return `"connections":${connections},"users":${users}`;
}

/** Reads Protobuf. Throws `DecodeError`; unknown fields are skipped. */
export function readPresenceUpdate(bytes: Uint8Array): PresenceChange {
  return readShape<PresenceChange>(bytes, UPDATE, { members: [] });
}

/** Reads Protobuf. Throws `DecodeError`; unknown fields are skipped. */
export function readPresenceLeave(bytes: Uint8Array): PresenceChange {
  return readShape<PresenceChange>(bytes, LEAVE, { members: [] });
}
