/**
 * The position of ERRs among the answers of a connection: the bookkeeping alone, and whole connections with any mix of
 * operations that succeed, fail or are refused at any step and after any time.
 */
import assert from "node:assert/strict";
import { ArqonError, decodeServerFrame, encodePub, writeEnvelope } from "@arqon/proto";
import type { ClientOperation, Reason, Welcome } from "@arqon/proto";
import fc from "fast-check";
import { ackAfterFlush, ackAfterLog, answer } from "./answers.ts";
import { Connection, type ConnectionProcess, type Queued } from "./connection.ts";
import { configFrom } from "../../shared/config/load.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import type { Flushed } from "./flush_queue.ts";
import { type OperationContext, Operations } from "./operations.ts";
import { Outbox, Pump } from "../fanout/outbox.ts";
import type { HeaderPair } from "../message/caller.ts";
import { ReplyOrder } from "./reply_order.ts";
import { requestOf, type RequestRef } from "../message/request_ref.ts";
import { createStats } from "../stats/stats.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { ann } from "../auth/testing/identity.ts";

Deno.test("an ERR is sent once all earlier frames are answered, in order, and none is lost", () => {
  const steps = fc.array(
    fc.record({
      parts: fc.integer({ min: 0, max: 2 }),
      err: fc.constantFrom("never", "at once", "later"),
      closing: fc.integer({ min: 0, max: 1_000 }),
    }),
    { maxLength: 40 },
  );
  fc.assert(fc.property(steps, (frames) => {
    const open = new Map<number, number>();
    const sent: number[] = [];
    const order = new ReplyOrder<number>({
      send(place) {
        const before = [...open.keys()].filter((other) => other < place);
        assert.deepEqual(before, [], `ERR ${place} overtakes`);
        sent.push(place);
      },
    });
    const closes: { at: number; place: number }[] = [];
    frames.forEach(({ parts, err, closing }, place) => {
      for (let part = 0; part < parts; part++) {
        order.open(place, 1);
        open.set(place, (open.get(place) ?? 0) + 1);
        closes.push({ at: closing + part, place });
      }
      if (err === "at once" || (err === "later" && parts === 0)) order.err(place, place);
    });
    closes.sort((a, b) => a.at - b.at);
    for (const { place } of closes) {
      const left = (open.get(place) ?? 0) - 1;
      if (left > 0) open.set(place, left);
      else {
        if (frames[place]?.err === "later") order.err(place, place);
        open.delete(place);
      }
      order.close(place, 1);
    }
    const expected = frames.flatMap(({ err }, place) => err === "never" ? [] : [place]);
    assert.deepEqual(sent, expected);
    assert.deepEqual([order.held, order.pending, order.pending_bytes], [0, 0, 0]);
  }));
});

Deno.test("ERRs that wait when the connection closes are sent first, in order", () => {
  const sent: number[] = [];
  const order = new ReplyOrder<number>({ send: (place) => void sent.push(place) });
  order.open(1, 0);
  for (const place of [3, 2, 5, 4]) order.err(place, place);
  assert.deepEqual([sent, order.held], [[], 4]);
  order.flush();
  assert.deepEqual([sent, order.held], [[2, 3, 4, 5], 0]);
});

/** The outcome of one frame: refused at a step, after a number of turns of the event loop. */
interface Fate {
  /** "garbage" cannot be decoded, "fast" is over a rate. */
  readonly kind: "pub" | "garbage" | "fast";
  readonly has_id: boolean;
  readonly fails: "no" | "prepare" | "commit" | "end";
  readonly prepare: number;
  readonly commit: number;
  /** The kind of its answer, and the delay in turns. */
  readonly answered: "at once" | "flush" | "log";
  readonly after: number;
  /** Turns before the next frame. */
  readonly pause: number;
}

const turns = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 4 }));
const fates = fc.array(
  fc.record<Fate>({
    kind: fc.constantFrom("pub", "pub", "pub", "garbage", "fast"),
    has_id: fc.boolean(),
    fails: fc.constantFrom("no", "no", "prepare", "commit", "end"),
    prepare: turns,
    commit: turns,
    answered: fc.constantFrom("at once", "flush", "log"),
    after: turns,
    pause: turns,
  }),
  { minLength: 1, maxLength: 30 },
);

const REASONS: Readonly<Record<Exclude<Fate["fails"], "no"> | "rate", readonly Reason[]>> = {
  prepare: ["schema-violation", "tenant-quota", "not-granted"],
  commit: ["spine-unavailable", "not-granted", "not-durable"],
  end: ["spine-unavailable"],
  rate: ["rate-limited"],
};

const pass = (count: number) =>
  new Promise<void>((resolve) =>
    count === 0 ? resolve() : setImmediate(() => resolve(pass(count - 1)))
  );

const WELCOME: Welcome = {
  connection_id: "c",
  user_id: "ann",
  tenant_id: "acme",
  server_time_ms: 0,
  heartbeat_ms: 30_000,
  max_frame_bytes: 262_144,
  token_expires_ms: 0,
  node_id: "n",
  protocol_version: 1,
};

function refusal(step: keyof typeof REASONS, index: number): ArqonError {
  const reasons = REASONS[step];
  return new ArqonError(reasons[index % reasons.length] as Reason, `#${index}.`);
}

function prepare(
  { prepare, fails }: Fate,
  index: number,
): readonly HeaderPair[] | Promise<readonly HeaderPair[]> {
  const done = () => {
    if (fails === "prepare") throw refusal("prepare", index);
    return [];
  };
  return prepare === 0 ? done() : pass(prepare).then(done);
}

function commit(
  { commit, fails, answered, after }: Fate,
  index: number,
  connection: Connection,
  request: RequestRef,
): Promise<void> | undefined {
  const error = fails === "end" ? refusal("end", index) : undefined;
  const finish = (): undefined => {
    if (fails === "commit") throw refusal("commit", index);
    if (answered === "flush") {
      const push = (done: Flushed) => void pass(after).then(() => done(error));
      return ackAfterFlush({ flushes: { push } }, connection, request);
    }
    if (answered === "log") {
      const stored = pass(after).then(() => {
        if (error !== undefined) throw error;
        return { offset: 1, stream: "s", duplicate: false } as Appended;
      });
      return ackAfterLog(connection, request, 1, stored);
    }
    if (error !== undefined) throw error;
    return void answer(connection, request);
  };
  return commit === 0 ? finish() : pass(commit).then(finish);
}

/** Frames with their answers: "ack 3", "err 3"; the number is the frame's. */
async function play(frames: readonly Fate[], pending_operations = 1_024): Promise<string[]> {
  const replies: string[] = [];
  const socket = {
    bufferedAmount: 0,
    unfinished_bytes: 0,
    send: (frame: string | Uint8Array) => void replies.push(shown(frame as Uint8Array)),
    close: (code: number) => void replies.push(`closed ${code}`),
    rest() {},
    terminate: () => true,
  };
  let received = 0;
  const fateOf = (operation: ClientOperation) => frames[indexOf(operation)] as Fate;
  const take = () => frames[received]?.kind === "fast" ? refusal("rate", received) : undefined;
  const rates = { open: () => ({ floods: false, take, restMs: () => 0, close() {} }) };
  const stats = createStats();
  const process: ConnectionProcess = {
    limits: { ...configFrom({}).limits, pending_operations },
    rates: rates as unknown as ConnectionProcess["rates"],
    stats,
    now: () => 0,
    operations: Object.assign(new Operations({} as OperationContext, 4), {
      prepare: ({ operation }: Queued) => prepare(fateOf(operation), indexOf(operation)),
      commit({ connection, operation, place }: Queued) {
        connection.place = place;
        return commit(fateOf(operation), indexOf(operation), connection, requestOf(operation));
      },
    }),
    leave: () => {},
    onEnd() {},
    onBug: (_connection, error) => void replies.push(`bug ${error}`),
  };
  const caller = { connection_id: "c", identity: ann } as Connection["caller"];
  const tenant = new TenantTable().of("acme");
  const connection = new Connection(process, { text: false, caller, socket, tenant });
  const bounds = { unsent_bytes_max: 1_000_000, room_bytes_max: 1_000_000 };
  const way_out = {
    socket,
    pump: new Pump(),
    tenant_id: "acme",
    stats,
    text: false,
    ...bounds,
    onOverflow() {},
    onBroken: assert.fail,
  };
  connection.open(new Outbox(way_out), WELCOME);
  replies.length = 0;
  for (; received < frames.length; received++) {
    connection.receive(new Uint8Array(frameOf(frames[received] as Fate, received)));
    await pass(frames[received]?.pause ?? 0);
  }
  await pass(frames.length * 12 + 20);
  assert.deepEqual([stats.pending_operations, connection.pending], [0, 0]);
  return replies;
}

function frameOf({ kind, has_id }: Fate, index: number): ArrayBuffer {
  if (kind === "garbage") return new Uint8Array([0x40 + index]).buffer;
  const event = { type: "t", data: new Uint8Array(1), content_type: "", schema_id: "" };
  const request_id = has_id ? index + 1 : 0;
  return new Uint8Array(encodePub(writeEnvelope({ room_id: `r${index}`, request_id, event })))
    .buffer;
}

function indexOf(operation: ClientOperation): number {
  return operation.kind === "publish" ? Number(operation.envelope.room_id.slice(1)) : -1;
}

function shown(bytes: Uint8Array): string {
  const frame = decodeServerFrame(bytes);
  if (frame.kind === "ack") return `ack ${Number(frame.ack.request_id) - 1}`;
  if (frame.kind !== "err") return frame.kind;
  const garbage = /0x([0-9a-f]{2})/i.exec(frame.message)?.[1];
  if (garbage !== undefined) return `err ${parseInt(garbage, 16) - 0x40}`;
  return `err ${/#(\d+)\./.exec(frame.message)?.[1]}`;
}

/** The answer to each frame, in any order; undefined: none. */
function expectedOf({ kind, has_id, fails, answered }: Fate, index: number): string | undefined {
  if (kind === "garbage") return `err ${index}`;
  if (has_id) return `ack ${index}`;
  if (kind === "fast") return `err ${index}`;
  // A failed flush is reported to its caller; on a real bus `answered` never flushes without one.
  if (fails === "end" && answered === "flush") return `err ${index}`;
  return fails === "no" ? undefined : `err ${index}`;
}

Deno.test("an ERR follows the answers to everything sent before its frame", async () => {
  await fc.assert(
    fc.asyncProperty(fates, async (frames) => {
      const replies = await play(frames);
      const expected = frames.map(expectedOf).filter((reply) => reply !== undefined);
      assert.deepEqual(replies.toSorted(), expected.toSorted());
      const at = new Map(replies.map((reply, position) => [reply, position]));
      for (const [reply, position] of at) {
        if (!reply.startsWith("err ")) continue;
        const index = Number(reply.slice(4));
        for (let before = 0; before < index; before++) {
          const answered = expectedOf(frames[before] as Fate, before);
          if (answered === undefined) continue;
          assert(
            (at.get(answered) ?? Infinity) < position,
            `${reply} before ${answered}: ${replies}`,
          );
        }
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("a client with too many refusals waiting for an answer is closed", async () => {
  const slow: Fate = {
    kind: "pub",
    has_id: true,
    fails: "no",
    prepare: 0,
    commit: 0,
    answered: "log",
    after: 50,
    pause: 0,
  };
  const garbage = Array.from({ length: 9 }, (): Fate => ({ ...slow, kind: "garbage" }));
  const replies = await play([slow, ...garbage], 8);
  const errs = garbage.map((_, at) => `err ${at + 1}`);
  assert.deepEqual(replies, [...errs, "err undefined", "closed 4429"]);
});
