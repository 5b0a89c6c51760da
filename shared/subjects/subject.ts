/**
 * The only place that builds or parses Spine subjects; docs/architecture.md#subjects lists them. A subject is a branded
 * string bound to its tenant; `assertSubject` checks it again at run time before it reaches a Spine engine.
 */
import { ArqonError, idProblem, isId } from "@arqon/proto";

declare const brand: unique symbol;
/** One exact subject of tenant `T`, without wildcards. */
export type Subject = string & { readonly [brand]: "subject" };
/** A subject or a pattern with NATS wildcards `*` and `>`. */
export type SubjectPattern = string & { readonly [brand]: "subject" | "pattern" };

/** `in`: what clients publish; `out`: what the Brain or a backend sends. */
export type RoomPlane = "in" | "out";

function room(tenantId: string, roomId: string): string {
  const tenantProblem = idProblem(tenantId);
  if (tenantProblem !== undefined) throw new ArqonError("tenant-mismatch");
  const roomProblem = idProblem(roomId);
  if (roomProblem !== undefined) throw new ArqonError("invalid-room", roomProblem);
  return `t.${tenantId}.r.${roomId}`;
}

type Subjects = Map<string, Map<string, Subject>>;

/**
 * Rooms in each of two generations of cached `in` subjects, at about 150 B: messages to more rooms in turn find none of
 * them, and each miss costs as much as a third of the message path.
 */
const ROOMS_MAX = 131_072;
/** By tenant, then room. */
let recent: Subjects = new Map();
let older: Subjects = new Map();
let recent_rooms = 0;
/** The subject that was built or found last: each message asks for its room's twice. */
let last_tenant: string | undefined;
let last_room: string | undefined;
let last_subject = "" as Subject;

function remember(tenantId: string, roomId: string, subject: Subject): Subject {
  if (recent_rooms >= ROOMS_MAX) {
    older = recent;
    recent = new Map();
    recent_rooms = 0;
  }
  // A slice of the subject: the given id may be a slice of a longer text, and would keep that alive.
  const key = subject.slice(-roomId.length);
  const rooms = recent.get(tenantId);
  if (rooms === undefined) recent.set(tenantId, new Map([[key, subject]]));
  else rooms.set(key, subject);
  recent_rooms++;
  return subject;
}

/** Cached, since every message needs it: checking two ids and building a string each time costs more. */
function inSubject(tenantId: string, roomId: string): Subject {
  if (roomId === last_room && tenantId === last_tenant) return last_subject;
  const subject = recent.get(tenantId)?.get(roomId) ?? remember(
    tenantId,
    roomId,
    older.get(tenantId)?.get(roomId) ?? `in.${room(tenantId, roomId)}` as Subject,
  );
  last_tenant = tenantId;
  last_room = roomId;
  return last_subject = subject;
}

/** Everything clients publish (`in`), or the Brain or a backend sends (`out`), to one room. */
export function roomSubject(plane: RoomPlane, tenantId: string, roomId: string): Subject {
  if (plane === "in") return inSubject(tenantId, roomId);
  return `${plane}.${room(tenantId, roomId)}` as Subject;
}

/** `roomSubject` of all rooms of a tenant. */
export function tenantRoomsPattern(plane: RoomPlane, tenantId: string): SubjectPattern {
  if (idProblem(tenantId) !== undefined) throw new ArqonError("tenant-mismatch");
  return `${plane}.t.${tenantId}.r.*` as SubjectPattern;
}

/** Messages published to a durable room, before its log has stored them. */
export function logSubject(tenantId: string, roomId: string): Subject {
  return `log.${room(tenantId, roomId)}` as Subject;
}

/** The log subjects of all rooms of a tenant. */
export function tenantLogPattern(tenantId: string): SubjectPattern {
  if (idProblem(tenantId) !== undefined) throw new ArqonError("tenant-mismatch");
  return `log.t.${tenantId}.r.*` as SubjectPattern;
}

/** As `logSubject`, for a tenant whose log shares a stream, `shard`. */
export function sharedLogSubject(shard: string, tenantId: string, roomId: string): Subject {
  return `log.s.${shard}.${room(tenantId, roomId)}` as Subject;
}

/** As `tenantLogPattern`, for a tenant whose log shares a stream. */
export function sharedTenantPattern(shard: string, tenantId: string): SubjectPattern {
  if (idProblem(tenantId) !== undefined) throw new ArqonError("tenant-mismatch");
  return `log.s.${shard}.t.${tenantId}.r.*` as SubjectPattern;
}

/** The log subjects of all tenants that share a stream. */
export function sharedLogPattern(shard: string): SubjectPattern {
  return `log.s.${shard}.t.*.r.*` as SubjectPattern;
}

/** Commands to the Brain, request/reply. */
export function commandSubject(tenantId: string, roomId: string): Subject {
  return `${room(tenantId, roomId)}.cmds` as Subject;
}

/** The commands that all Brains together subscribe to. */
export const ALL_COMMANDS = "t.*.r.*.cmds" as SubjectPattern;
/** A copy of a room's messages for the Brains' tap: subscribers never use it. */
export function tapSubject(tenantId: string, roomId: string): Subject {
  return `tap.${room(tenantId, roomId)}` as Subject;
}

/** All tapped messages, for all Brains together. */
export const ALL_TAPPED = "tap.t.>" as SubjectPattern;

/** The tenant and room of `in.t.T.r.R`, also with `out` or `tap`, or of `t.T.r.R.cmds`; undefined for any other. */
export function parseRoomSubject(
  subject: string,
): { tenantId: string; roomId: string } | undefined {
  const parts = subject.split(".");
  const command = parts[0] === "t" && parts[4] === "cmds";
  const plane = parts[0] === "in" || parts[0] === "out" || parts[0] === "tap";
  const [t, tenantId = "", r, roomId = ""] = command ? parts : parts.slice(1);
  const shaped = (command || plane) && parts.length === 5 && t === "t" && r === "r";
  return shaped && isId(tenantId) && isId(roomId) ? { tenantId, roomId } : undefined;
}

/** The tenant of any subject that names one; "": it is of the bus itself. Not checked. */
export const tenantOfSubject = (subject: string): string =>
  /^(?:sys\.presence\.room|(?:.*?\.)?t)\.([^.]+)/.exec(subject)?.[1] ?? "";

/** Requests of backends about rooms; the last token is the verb. */
export const ALL_API = "api.t.*.r.*.*" as SubjectPattern;

/** The parts of `api.t.T.r.R.VERB`; undefined for any other. */
export function parseApiSubject(
  subject: string,
): { readonly tenant_id: string; readonly room_id: string; readonly verb: string } | undefined {
  const [api, t, tenant_id = "", r, room_id = "", verb = "", ...more] = subject.split(".");
  const is_shaped = api === "api" && t === "t" && r === "r" && verb !== "" && more.length === 0;
  return is_shaped && isId(tenant_id) && isId(room_id) ? { tenant_id, room_id, verb } : undefined;
}

/** Presence and cluster messages between processes: the last token is a node or Brain id. */
const CLUSTER = {
  /** Shield → Brains: changes of its members, and its heartbeat. */
  announce: "sys.presence.announce",
  /** To one Shield or Brain: pulls, snapshots and their answers. */
  direct: "sys.presence.to",
  /** Brain → all: its heartbeat and progress. */
  beat: "sys.cluster.beat",
  /** Brain → Brain: a command for the room's owner. */
  commands: "sys.cluster.cmds",
  /** Shield → Shield: frames of a client without WebSocket, to the Shield with its stream. */
  frames: "sys.cluster.frames",
  /** To one process that has asked all: their answers. */
  answers: "sys.cluster.answers",
} as const;

/** The kinds of subject that end in the id of a process. */
export type ProcessSubject = keyof typeof CLUSTER;

/** One process's subject. Throws `invalid-room` for an id that is not one token. */
export function processSubject(kind: ProcessSubject, id: string): Subject {
  const problem = idProblem(id);
  if (problem !== undefined) throw new ArqonError("invalid-room", problem);
  return `${CLUSTER[kind]}.${id}` as Subject;
}

/** The subjects of that kind of all processes. */
export function everyProcess(kind: ProcessSubject): SubjectPattern {
  return `${CLUSTER[kind]}.*` as SubjectPattern;
}

/** Asks every Shield and Brain to report its state at once. */
export const HELLO = "sys.cluster.hello" as Subject;

/** A stopping Shield tells the others which connections may move to them. */
export const MOVING = "sys.cluster.moving" as Subject;

/** An operator's question to all Shields and Brains; they answer on the `answers` of the sender. */
export const CLUSTER_QUESTIONS = "sys.cluster.ask" as Subject;

/** A room's changes of presence, from its owner to the Shields that watch it. */
export function presenceSubject(tenantId: string, roomId: string): Subject {
  room(tenantId, roomId);
  return `sys.presence.room.${tenantId}.${roomId}` as Subject;
}

/** `signals`: kicks and other signals to connections of a tenant; `rooms`: creation and end of its rooms. */
export type TenantPlane = "signals" | "rooms";

/** A tenant's control subject. */
export function tenantSubject(plane: TenantPlane, tenantId: string): Subject {
  if (idProblem(tenantId) !== undefined) throw new ArqonError("tenant-mismatch");
  return `sys.t.${tenantId}.${plane}` as Subject;
}

/** The pattern of that control subject of every tenant. */
export function everyTenant(plane: TenantPlane): SubjectPattern {
  return `sys.t.*.${plane}` as SubjectPattern;
}

/** The tenant of `sys.t.T.signals` or `sys.t.T.rooms`; undefined for any other. */
export function parseTenantSubject(subject: string): string | undefined {
  const [sys, t, tenantId = "", plane, ...rest] = subject.split(".");
  const shaped = sys === "sys" && t === "t" && (plane === "signals" || plane === "rooms");
  return shaped && rest.length === 0 && isId(tenantId) ? tenantId : undefined;
}

/** The stores of blocks: the first token of their subjects. */
const BLOCK_ROOTS = ["journal", "usage", "ledger", "audit"] as const;
type BlockRoot = typeof BLOCK_ROOTS[number];

/** Writers of blocks that are no nodes: `name` is no id. */
const isFoldWriter = (name: string): boolean => name === "+hour" || name === "+day";

/** A node's blocks of a tenant. Only the store's stream subscribes. */
export function blockSubject(root: BlockRoot, tenantId: string, nodeId: string): Subject {
  if (idProblem(tenantId) !== undefined) throw new ArqonError("tenant-mismatch");
  if (idProblem(nodeId) !== undefined && !isFoldWriter(nodeId)) {
    throw new TypeError(`not the id of a node: ${nodeId}`);
  }
  return `${root}.t.${tenantId}.${nodeId}` as Subject;
}

/** The subjects of a tenant's blocks of all nodes. */
export function tenantBlocksPattern(root: BlockRoot, tenantId: string): SubjectPattern {
  if (idProblem(tenantId) !== undefined) throw new ArqonError("tenant-mismatch");
  return `${root}.t.${tenantId}.*` as SubjectPattern;
}

/** The subjects of a store's blocks of all tenants. */
export const allBlocksPattern = (root: BlockRoot): SubjectPattern =>
  `${root}.t.*.*` as SubjectPattern;

/** The tenant and node of `ROOT.t.T.N` of a store of blocks; undefined for any other subject. */
export function parseBlockSubject(
  subject: string,
): { tenantId: string; nodeId: string } | undefined {
  const [root, t, tenantId = "", nodeId = "", ...rest] = subject.split(".");
  const is_root = BLOCK_ROOTS.some((one) => one === root);
  const shaped = is_root && t === "t" && rest.length === 0;
  return shaped && isId(tenantId) && (isId(nodeId) || isFoldWriter(nodeId))
    ? { tenantId, nodeId }
    : undefined;
}

/** Refused messages of a subject, if its mapping keeps dead letters. */
export function deadLetterSubject(subject: Subject): Subject {
  return `dlq.${subject}` as Subject;
}

/** Mirrored traffic of a subject. */
export function shadowSubject(subject: Subject): Subject {
  return `shadow.${subject}` as Subject;
}

/** The verdicts of shadow consumers on a tenant's mirrored traffic. */
export function shadowVerdictsSubject(tenantId: string): Subject {
  if (idProblem(tenantId) !== undefined) throw new ArqonError("tenant-mismatch");
  return `shadow.verdicts.t.${tenantId}` as Subject;
}

/** The pattern of that subject of every tenant. */
export const ALL_SHADOW_VERDICTS = "shadow.verdicts.t.*" as SubjectPattern;

/** The tenant of `shadow.verdicts.t.T`; undefined for any other subject. */
export function parseShadowVerdictsSubject(subject: string): string | undefined {
  const [shadow, verdicts, t, tenantId = "", ...rest] = subject.split(".");
  const shaped = shadow === "shadow" && verdicts === "verdicts" && t === "t" && rest.length === 0;
  return shaped && isId(tenantId) ? tenantId : undefined;
}

/** Throws `invalid-room` (400) that says what is wrong with the id. */
export function requireRoomId(room_id: string): void {
  const problem = idProblem(room_id);
  if (problem !== undefined) throw new ArqonError("invalid-room", problem);
}

/** Whether it is a pattern of rooms; no room's id has a `*`. */
export const isPattern = (room_id: string): boolean => room_id.endsWith("*");

/** As `requireRoomId`, for a pattern of rooms: a prefix of ids followed by `*`, or `*` alone. */
export function requireRoomsPattern(pattern: string): void {
  if (pattern !== "*") requireRoomId(pattern.slice(0, -1));
}
