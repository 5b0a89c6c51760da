/**
 * Runs one case of the vectors of `sdk/conformance` with this SDK: one runner for each file. Not part of the package.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ArqonError, dataForm, DecodeError, decodeServerFrame, encodeSub } from "@arqon/proto";
import { encodeUnsub, ERRORS, writeEnvelope } from "@arqon/proto";
import type { Reason } from "@arqon/proto";
import { encodeFrame, fromHex, plainFrame, toHex } from "../../conformance/plain.ts";
import { vectorsText } from "../../conformance/generate.ts";
import { backoffDelay, DEFAULT_BACKOFF } from "../time/clock.ts";
import { applyFossil, applyVcdiff } from "../delta/diffs.ts";
import { Unfolder } from "../delta/unfolder.ts";
import { closeReaction, type Reaction, refusalReaction } from "../connection/refusal.ts";
import { Place, type Position } from "../durable/position.ts";
import { MemberTable } from "../presence/presence.ts";
import { Message } from "../message/message.ts";
import { ProofError, VerifiedLog } from "../proof/verified_log.ts";
import { Reading } from "../subscription/replay.ts";
import { errorFromWire } from "../wire/wire_error.ts";

const TEXT = vectorsText();
/** Every vectors file by its name. */
export const VECTORS: Readonly<Record<string, { about: string; cases: Case[] }>> = JSON.parse(TEXT);
/** A digest of all vectors: a change of their bytes shows in the committed results. */
export const VECTORS_SHA256: string = createHash("sha256").update(TEXT).digest("hex");

/** A case in the form of its file, which its runner knows. */
// deno-lint-ignore no-explicit-any
export type Case = any;

function isRefused(attempt: () => unknown): boolean {
  try {
    attempt();
    return false;
  } catch (error) {
    // The platform's own parser refuses metadata that is not JSON.
    assert.ok(error instanceof DecodeError || error instanceof SyntaxError, String(error));
    return true;
  }
}

function runFrame({ direction, hex, expect, operation }: Case): void {
  if (direction === "client") return assert.equal(toHex(encodeFrame(operation)), hex);
  if (expect.kind === "refused") return assert.ok(isRefused(() => decodeServerFrame(fromHex(hex))));
  const frame = decodeServerFrame(fromHex(hex));
  // Through JSON: the readers make objects without a prototype.
  assert.deepEqual(JSON.parse(JSON.stringify(plainFrame(frame))), expect);
}

function messageWith(content_type: string, data: Uint8Array): Message {
  const envelope = writeEnvelope({ room_id: "lobby", event: { data, content_type } });
  const frame = decodeServerFrame(Uint8Array.of(0x04, ...envelope));
  assert.ok(frame.kind === "msg");
  return new Message(frame.envelope);
}

function runEnvelope({ content_type, hex, expect }: Case): void {
  const message = messageWith(content_type, fromHex(hex));
  assert.equal(toHex(message.data), hex);
  assert.equal(message.content_type, content_type);
  const form = dataForm(content_type);
  if (form === "bytes") return assert.equal(expect.as, "bytes");
  const decode = () => form === "json" ? message.json() : message.text();
  if (expect.as === "invalid") return assert.throws(decode);
  assert.equal(form, expect.as);
  assert.deepEqual(decode(), expect.value);
}

function reacts(reaction: Reaction, expect: Case): void {
  assert.equal(reaction.action === "reconnect", expect.reconnect);
  assert.equal(reaction.action === "reconnect" && reaction.new_token, expect.fresh_token);
}

function runError({ kind, name, number, code, refusal, expect }: Case): void {
  if (kind === "reason") {
    const entry = ERRORS[name as Reason];
    assert.deepEqual([entry?.number, entry?.code, entry?.client], [number, code, expect.client]);
    return reacts(refusalReaction(new ArqonError(name)), expect);
  }
  const error = errorFromWire(refusal);
  assert.equal(error.reason, expect.reason);
  assert.equal(error.retry_after_ms, expect.retry_after_ms);
  if (expect.code !== undefined) assert.equal(error.code, expect.code);
  assert.deepEqual([error.room, error.action], [expect.room ?? "", expect.action ?? ""]);
  if (expect.says !== undefined) assert.ok(error.message.includes(expect.says), error.message);
  reacts(refusalReaction(error), expect);
}

function runClose({ code, reason, last_error, expect }: Case): void {
  const last = last_error && new ArqonError(last_error.reason, "", last_error);
  const reaction = closeReaction(code, reason, last);
  assert.equal(reaction.error?.reason ?? null, expect.error);
  if (reaction.action === "stop") return assert.equal(expect.action, "stop");
  assert.equal(reaction.spread_ms > 0 ? "spread" : "backoff", expect.action);
  assert.equal(reaction.spread_ms, expect.spread_ms ?? 0);
  assert.equal(reaction.floor_ms, expect.floor_ms ?? 0);
  assert.equal(reaction.new_token, expect.fresh_token ?? false);
}

function runBackoff({ base_ms, max_ms, first_attempt, random, delays_ms, ...rest }: Case): void {
  if (rest.default) assert.deepEqual({ base_ms, max_ms }, DEFAULT_BACKOFF);
  const delays = random.map((number: number, at: number) =>
    backoffDelay(first_attempt + at, { base_ms, max_ms }, () => number)
  );
  assert.deepEqual(delays, delays_ms);
}

function runPresence({ steps, expect }: Case): void {
  const table = new MemberTable();
  const next_shield = {};
  for (const { ack, next, event, hex, refused } of steps) {
    const hear = () =>
      event === "PRESENCE_UPDATE" ? table.update(fromHex(hex)) : table.leave(fromHex(hex));
    if (ack !== undefined) table.begin(ack, next ? next_shield : undefined);
    else if (event === undefined) table.lost();
    else if (refused) assert.ok(isRefused(hear));
    else hear();
  }
  const members = [...table.members.values()].sort((one, other) =>
    one.connection_id < other.connection_id ? -1 : 1
  );
  assert.deepEqual({ members, users: table.users, complete: table.complete }, expect);
  table.lost();
}

/** One step of a position in a durable room, compared with its expected result. */
function positionSteps(place: Place): (step: Case) => void {
  const sessions = new Map<string, { readonly asked: (Position | undefined)[] }>();
  const session = (name: string) => {
    const known = sessions.get(name) ?? { asked: [] };
    sessions.set(name, known);
    return known;
  };
  let reading: Reading | undefined;
  const takePage = ({ page, epoch, more, after, heard }: Case) => {
    const messages = page.map(([offset, id]: [number, string]) => ({ offset, id }));
    assert.equal(reading?.after, after);
    if (!reading?.take({ messages, epoch, more })) return assert.equal(heard, null);
    const delivered = page.filter(([offset]: [number]) => place.deliver(offset));
    assert.deepEqual(delivered.map(([offset]: [number]) => offset), heard);
  };
  return (step) => {
    const { sub, ack, message, on, gap, read, stored, published, heard } = step;
    if (sub) {
      const position = place.asked(session(sub));
      session(sub).asked.push(position);
      assert.deepEqual(position ? [position.offset, position.epoch ?? ""] : null, step.asks);
    } else if (ack) {
      const lost = place.accepted(session(ack), session(ack).asked.shift(), step, step.answer);
      assert.equal(lost ?? null, step.tells);
    } else if (message) {
      assert.equal(place.follows(session(on)) && place.deliver(message), heard);
    } else if (gap) assert.equal(place.gap(session(on), gap), heard);
    else if (step.begin !== undefined) reading = new Reading(place, step.begin, step.kept);
    else if (step.page) takePage(step);
    else if (read !== undefined) place.read(read, step.epoch, step.more);
    else if (stored) assert.equal(place.deliver(stored), heard);
    else if (published) place.published(published);
    else place.forget();
  };
}

function runPosition({ begins, steps, expect }: Case): void {
  const place = new Place(begins?.position, begins?.no_echo === true);
  place.reading = begins?.reading === true;
  steps.forEach(positionSteps(place));
  const { position = null, epoch, recovered = null } = place;
  assert.deepEqual({ position, epoch, recovered }, expect);
}

function runDelta({ kind, base, diff, bytes_max, steps, expect }: Case): void {
  if (kind === "diff" || kind === "vcdiff") {
    const apply = kind === "diff" ? applyFossil : applyVcdiff;
    const made = apply(fromHex(base), fromHex(diff), bytes_max);
    return assert.equal(made === undefined ? null : toHex(made), expect);
  }
  const unfolder = new Unfolder(bytes_max ?? 1_000_000);
  for (const { sub, unsub, hex, expect } of steps) {
    if (sub !== undefined) unfolder.sent(encodeSub({ room_id: sub }));
    else if (unsub !== undefined) unfolder.sent(encodeUnsub({ room_id: unsub }));
    else {
      const frame = decodeServerFrame(unfolder.received(fromHex(hex)));
      assert.deepEqual(JSON.parse(JSON.stringify(plainFrame(frame))), expect);
    }
  }
}

/** The log is served over HTTP, as the case has it when a message is handed to the verifier. */
async function runProof({ options, logs, messages, expect }: Case): Promise<void> {
  let log: Case;
  let message: Message | undefined;
  const paths: string[] = [];
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    if (log.refusals-- > 0) return Response.json({ retry_after_ms: 1 }, { status: 503 });
    const path = new URL(request.url).pathname.slice(1);
    paths.push(path);
    const hex = log.files[path];
    return new Response(hex && fromHex(hex), { status: hex === undefined ? 404 : 200 });
  });
  async function* come() {
    for (const [at, { hex, epoch }] of messages.entries()) {
      if (logs[at] !== undefined) log = { ...logs[at] };
      const frame = decodeServerFrame(Uint8Array.of(0x04, ...fromHex(hex)));
      assert.ok(frame.kind === "msg");
      message = new Message(frame.envelope, epoch);
      yield await Promise.resolve(message);
    }
  }
  const given = Object.entries(options).filter(([, value]) => value !== null);
  const url = `http://127.0.0.1:${server.addr.port}`;
  const verified = new VerifiedLog({ ...Object.fromEntries(given), url } as Case);
  const { kind, error: text = "", entry, checkpoints, bundles } = expect;
  const offsets: number[] = [];
  let wrong: unknown;
  try {
    for await (const { offset } of verified.verify(come())) offsets.push(Number(offset));
  } catch (error) {
    wrong = error;
  }
  assert.deepEqual(offsets, expect.offsets, String(wrong));
  const proven = wrong instanceof ProofError ? wrong : undefined;
  assert.equal(proven?.kind, kind, String(wrong));
  if (kind === undefined) assert.equal(wrong === undefined, text === "", String(wrong));
  assert.ok(String(wrong).includes(text), String(wrong));
  const is_of_one = ["changed", "gap", "missing"].includes(kind);
  assert.equal(proven?.evidence.message, is_of_one ? message : undefined);
  if (entry !== undefined) assert.equal(proven?.evidence.entry, entry);
  if (checkpoints !== undefined) assert.equal(proven?.evidence.checkpoints.length, checkpoints);
  if (bundles === undefined) return;
  const since_first = paths.slice(paths.lastIndexOf("tile/entries/000"));
  assert.equal(since_first.filter((path) => path.startsWith("tile/entries/")).length, bundles);
}

/** By the name of the file; each throws an AssertionError for a failed case. */
export const VECTOR_RUNNERS: Readonly<
  Record<string, (example: Case) => void | Promise<void>>
> = {
  "backoff.json": runBackoff,
  "close_codes.json": runClose,
  "deltas.json": runDelta,
  "envelopes.json": runEnvelope,
  "errors.json": runError,
  "frames.json": runFrame,
  "positions.json": runPosition,
  "presence.json": runPresence,
  "proofs.json": runProof,
};
