/**
 * Times how a block of the journal is made and read back, and counts its bytes, for users who share a stream of
 * decisions of one policy. Nothing is stored.
 */
import { randomBytes } from "node:crypto";
import { BlockBuilder, ClosedBlock, damagedHole } from "../../shared/journal/block.ts";
import { DamagedBlock } from "../../shared/journal/block_bytes.ts";
import type { JournalEntry } from "../../shared/journal/entry.ts";
import { isHole } from "../../shared/journal/record.ts";
import { medianOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";

/** The figures of blocks of so many users, for each decision. */
interface BlockFigures {
  readonly users: number;
  readonly bytes: number;
  readonly add_us: number;
  readonly close_us: number;
  readonly read_us: number;
}

const USERS = [10, 100, 1_000];
const DECISIONS = 5_000;
const OWNER = {
  tenant: "acme",
  node: "shield-1",
  meter_version: 5,
  fuel_limit: 10_000,
  chain_fuel_limit: 20_000,
};

const RATE = { messages_per_second: 200, bytes_per_second: 1_048_576 };
/** What all messages have in common, as a Shield has it: one object each. */
const SHARED = {
  credential: { issuer: "https://id.example.com", kid: "2026-1", role: "user", has_grants: true },
  limits: { connection: RATE, user: RATE, tenant: RATE, quota: null },
  room_class: { pattern: "room-*", source: "config", durable: true },
  mirror: null,
} as const;

/** A message to a durable room that one policy let through. */
function decision(number: number, users: number): JournalEntry {
  const user = number % users;
  return {
    time_ms: 1_767_323_045_000 + Math.floor(number / 5),
    hook: "on_message",
    room: `room-${number % 50}`,
    trace: null,
    message_id: crypto.randomUUID(),
    offset: Math.floor(number / 50),
    sender: {
      user: `user-${user}`,
      connection: `c${user.toString(16).padStart(16, "0")}`,
      remote_ip: `10.0.${user >> 8}.${user & 255}`,
    },
    type: "chat",
    content_type: "application/json",
    payload: { form: "reference", bytes: 200 },
    allowed: true,
    code: 0,
    reason: "",
    message: "",
    schema: null,
    chain_version: 7,
    policies: [{
      name: "bad_words",
      module: "ab".repeat(32),
      abi: 1,
      mode: "enforce",
      allowed: true,
      code: 0,
      reason: "",
      fault: null,
      detail: "",
      units: 3_000 + number * 7_919 % 500,
      budget_units: 5_000_000,
      asking_bytes: 0,
      has_read_payload: true,
      reads: [],
      writes: [],
      added_headers: [],
      payload: null,
      logs: [],
    }],
    terms: { ...SHARED, expires_ms: 1_767_326_000_000 + user * 7_919, grant: "room-*" },
  };
}

function measureOnce(users: number): BlockFigures {
  const entries = Array.from({ length: DECISIONS }, (_, number) => decision(number, users));
  const began_ms = performance.now();
  const builder = new BlockBuilder();
  for (const entry of entries) builder.add(entry);
  const added_ms = performance.now();
  const keys = builder.users.map(() => ({ id: randomBytes(16), key: randomBytes(32) }));
  const keyed_ms = performance.now();
  const steps = builder.close(OWNER, 0, [], keys);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const closed_ms = performance.now();
  const read = linesOf(step.value, keys.map(({ key }) => key));
  const read_ms = performance.now();
  if (read !== DECISIONS) throw new Error(`${read} of ${DECISIONS} decisions came back`);
  const us = (from_ms: number, to_ms: number) => (to_ms - from_ms) * 1_000 / DECISIONS;
  return {
    users,
    bytes: step.value.length / DECISIONS,
    add_us: us(began_ms, added_ms),
    close_us: us(keyed_ms, closed_ms),
    read_us: us(closed_ms, read_ms),
  };
}

/** How many records the block has, as a reader finds it. */
function linesOf(bytes: Uint8Array, keys: readonly Uint8Array[]): number {
  try {
    return [...new ClosedBlock(bytes).lines(keys)].filter((line) => !isHole(line)).length;
  } catch (error) {
    if (!(error instanceof DamagedBlock)) throw error;
    const { hole } = damagedHole({ ...OWNER, stored_ms: 0 }, error);
    throw new Error(`a block is ${hole.why}: ${error.message}`);
  }
}

/** Measures blocks of few and of many users; the medians over the rounds. */
export function measureBlocks(rounds: number): BlockFigures[] {
  return USERS.map((users) => {
    measureOnce(users);
    const all = Array.from({ length: rounds }, () => measureOnce(users));
    const keys = ["users", "bytes", "add_us", "close_us", "read_us"] as const;
    return Object.fromEntries(
      keys.map((key) => [key, medianOf(all, key)]),
    ) as unknown as BlockFigures;
  });
}

/** The table of the blocks. */
export function renderBlocks(figures: readonly BlockFigures[]): string {
  return renderTable(figures, [
    [`block of ${DECISIONS} decisions`, ({ users }) => `${users} users`],
    ["B a decision", ({ bytes }) => bytes, 1],
    ["add µs", ({ add_us }) => add_us, 2],
    ["close µs", ({ close_us }) => close_us, 2],
    ["read µs", ({ read_us }) => read_us, 2],
  ]);
}
