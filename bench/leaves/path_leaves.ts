/**
 * Leaves of a message's path through a Shield without sockets: the embedded Spine, the hub, the outbox, and the whole
 * inbound path. A leaf ends at the socket; bytes to send are dropped.
 */
import { decodeClientFrame, encodeMsg, encodePub } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { randomPool } from "../../shared/ids.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { roomSubject, type Subject } from "../../shared/subjects/subject.ts";
import { NO_BANS } from "../../shield/auth/bans.ts";
import { PLAIN_ROOMS } from "../../shield/durable/log/logs.ts";
import { FlushQueue } from "../../shield/connection/flush_queue.ts";
import { Hub, type Subscriber } from "../../shield/fanout/hub.ts";
import type { Identity } from "../../shield/auth/identity.ts";
import { Journal } from "../../shield/journal/journal.ts";
import { JournalRules } from "../../shield/journal/journal_place.ts";
import { createTap } from "../../shield/tap/capability.ts";
import { observersOf } from "../../shield/message/observers.ts";
import { Outbox, Pump } from "../../shield/fanout/outbox.ts";
import { type MessagePath, publish } from "../../shield/message/pipeline.ts";
import type { PolicyBinding } from "../../shared/records/verdict.ts";
import { createOverseer } from "../../shield/policy/overseer.ts";
import { createStats } from "../../shield/stats/stats.ts";
import { TenantTable } from "../../shield/stats/tenant_stats.ts";
import type { Traces } from "../../shield/traces/traces.ts";
import { kept, type Leaf, type LeafRun } from "./leaf.ts";
import { publication, ROOMS, SCAN_LIMITS } from "./wire_leaves.ts";
import { NO_POLICIES, NO_SCHEMAS } from "../../shield/message/gates.ts";

/** The time on the clock of the leaves in Unix ms; the clock is stopped. */
export const NOW_MS = 1_790_000_000_123;
const TENANT = "acme";
/** Messages of one turn; a Spine holds all of them until the turn ends. */
const TURN = 250;

/** The identity that publishes in these leaves. */
export const ANN: Identity = {
  tenant_id: TENANT,
  user_id: "ann",
  user_key: "https://id.example.com\nann",
  role: "user",
  issuer: "https://id.example.com",
  expires_ms: NOW_MS + 60_000,
  token_id: undefined,
  grants: undefined,
  signing_key: undefined,
  claims: {},
};

const NO_CHAIN: readonly PolicyBinding[] = [];

const random = randomPool((bytes) => crypto.getRandomValues(bytes));
const now = () => NOW_MS;

function openSpine(): Spine {
  const write = (line: string) => {
    throw new Error(`a leaf is not to log anything: ${line}`);
  };
  const log = createLogger({ level: "warn", format: "logfmt", component: "spine", now, write });
  return openEmbedded({ log, now });
}

const subjects = (): Subject[] => ROOMS.map((room_id) => roomSubject("in", TENANT, room_id));

/** A run that publishes turn by turn, each message to the next room. */
function inTurns(spine: Spine, one: (index: number) => void): LeafRun {
  return async (times) => {
    for (let index = 0; index < times;) {
      for (let count = 0; count < TURN && index < times; count++) one(index++);
      await spine.flush();
    }
  };
}

function spineOnly(): LeafRun {
  const spine = openSpine();
  const rooms = subjects();
  for (const room of rooms) spine.subscribe(room, (message) => kept.value = message);
  const payload = publication(ROOMS[0]!, 200);
  return inTurns(spine, (index) => spine.publish(rooms[index % rooms.length]!, payload));
}

function openHub(spine: Spine): Hub {
  return new Hub({
    spine,
    stats: createStats(),
    tenants: new TenantTable(),
    now,
    random,
    deduplication_entries: 1_000,
  });
}

function subscriber(connection_id: string, text: boolean): Subscriber {
  return { connection_id, text, no_echo: false, send: (frame) => kept.value = frame };
}

function delivered(receivers: number, text = false): LeafRun {
  const spine = openSpine();
  const hub = openHub(spine);
  for (const room_id of ROOMS) {
    for (let count = 0; count < receivers; count++) {
      hub.subscribe(TENANT, room_id, subscriber(`c${count}`, text));
    }
  }
  const rooms = subjects();
  const payloads = ROOMS.map((room_id) => publication(room_id, 200));
  return inTurns(spine, (index) => {
    const at = index % rooms.length;
    spine.publish(rooms[at]!, payloads[at]!);
  });
}

function outboxes(batches: boolean): LeafRun {
  const socket = { bufferedAmount: 0, send: (frame: unknown) => void (kept.value = frame) };
  const outbox = new Outbox({
    tenant_id: "acme",
    socket,
    pump: new Pump(),
    stats: createStats(),
    text: false,
    unsent_bytes_max: 1_048_576,
    room_bytes_max: 65_536,
    onBroken: (error) => {
      throw error;
    },
    onOverflow: () => {
      throw new Error("a socket that takes everything has no overflow");
    },
  });
  if (batches) outbox.useBatches();
  const frame = encodeMsg(publication(ROOMS[0]!, 200));
  return async (times) => {
    for (let index = 0; index < times;) {
      for (let count = 0; count < TURN && index < times; count++, index++) outbox.send(frame);
      if (batches) await new Promise((resolve) => setTimeout(resolve));
    }
  };
}

/**
 * The path from a frame to its only subscriber, as in `shield/connection/connection.ts` and `operations.ts`. `traces`
 * turns tracing on; `partsOf` adds parts to the path.
 */
export function wholePath(
  traces?: Traces,
  partsOf: (spine: Spine) => Partial<MessagePath> = () => ({}),
): LeafRun {
  const spine = openSpine();
  const hub = openHub(spine);
  for (const room_id of ROOMS) hub.subscribe(TENANT, room_id, subscriber("c1", false));
  const { classes, logs } = PLAIN_ROOMS;
  const path: MessagePath = {
    signatures: { of: () => [] },
    announce() {},
    overseer: NO_POLICIES,
    bans: NO_BANS,
    schemas: NO_SCHEMAS,
    observers: observersOf([traces]),
    classes,
    ...(traces?.sending(spine, logs, new FlushQueue(spine)) ?? { spine, logs }),
    traces,
    now,
    random,
    ...partsOf(spine),
  };
  const caller = {
    identity: ANN,
    connection_id: "c1",
    request_headers: [],
    remote_ip: "127.0.0.1",
  };
  const publisher = { caller, origin: undefined };
  const frames = ROOMS.map((room_id) => encodePub(publication(room_id, 200)));
  return inTurns(spine, (index) => {
    const operation = decodeClientFrame(frames[index % frames.length]!, SCAN_LIMITS);
    if (operation.kind === "publish") publish(path, publisher, operation.envelope);
  });
}

/** The parts of a Shield with the default configuration. None of them applies to these messages. */
function idleParts(spine: Spine): Partial<MessagePath> {
  const config = configFrom({ journal: { journal: "off" } });
  const fail = (): never => {
    throw new Error("nothing is to be asked or written");
  };
  const journal = new Journal({
    rules: new JournalRules(config.journal),
    classes: PLAIN_ROOMS.classes,
    queue: { write: fail },
    now,
  });
  return {
    overseer: createOverseer({
      chainFor: () => NO_CHAIN,
      evaluate: fail,
      onLogs: fail,
      limits: { ...config.limits, payload_bytes: config.limits.max_frame_bytes },
      now,
    }),
    journal,
    observers: observersOf([createTap(spine, 1e-12), journal]),
  };
}

/** The leaves of this file, in the order of a message. */
export const PATH_LEAVES: readonly Leaf[] = [
  { name: "Spine: publish and deliver", unit: "B", times: 10_000, open: spineOnly },
  { name: "hub to 1, with its Spine", unit: "B", times: 10_000, open: () => delivered(1) },
  { name: "hub to 100, with its Spine", unit: "B", times: 2_000, open: () => delivered(100) },
  { name: "hub to 1 in text", unit: "B", times: 5_000, open: () => delivered(1, true) },
  { name: "outbox, at once", unit: "B", times: 20_000, open: () => outboxes(false) },
  { name: "outbox, in batches", unit: "B", times: 10_000, open: () => outboxes(true) },
  { name: "frame to subscriber", unit: "B", times: 10_000, open: () => wholePath() },
  {
    name: "frame to subscriber, by what does not apply",
    unit: "B",
    times: 10_000,
    open: () => wholePath(undefined, idleParts),
  },
];
