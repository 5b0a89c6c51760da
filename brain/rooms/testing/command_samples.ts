/** For tests: commands as values, and generators of them. Not part of the Brain. */
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { anyCharacter } from "../../../shared/testing/any_character.ts";
import { answerJson, type Applied, applyCommands, type ApplyContext } from "../commands/apply.ts";
import { UNCONDITIONAL } from "../commands/command.ts";
import type {
  Conditions,
  DeleteCommand,
  GetCommand,
  LockCommand,
  ReleaseCommand,
  RoomCommand,
  SetCommand,
  UnlockCommand,
} from "../commands/command.ts";
import { emptyDocument, type RoomDocument } from "../store/document.ts";

/** Limits that only tests of limits reach. */
export const CONTEXT: ApplyContext = {
  now_ms: 1_000_000,
  steady_ms: 1_000_000,
  older: () => undefined,
  limits: { state_bytes: 262_144, keys_per_room: 10_000 },
  first_version: 0,
};

/** A sender by its connection; its user is `of <connection>`. */
export function from(connection_id: string): Pick<Conditions, "from"> {
  return { from: { user_id: `of ${connection_id}`, connection_id, trace_id: "" } };
}

/** Sets a key to a value. */
export function set(key: string, value: unknown, more: Partial<SetCommand> = {}): SetCommand {
  return { ...UNCONDITIONAL, kind: "set", key, value: JSON.stringify(value), ...more };
}

/** Reads a key, or everything. */
export function get(key?: string, more: Partial<GetCommand> = {}): GetCommand {
  return { ...UNCONDITIONAL, kind: "get", key, events_after: undefined, ...more };
}

/** Deletes a key. */
export function remove(key: string, more: Partial<DeleteCommand> = {}): DeleteCommand {
  return { ...UNCONDITIONAL, kind: "delete", key, ...more };
}

/** Takes the lock for a connection. */
export function lock(
  connection_id: string,
  ttl_ms = 10_000,
  more: Partial<LockCommand> = {},
): LockCommand {
  return { ...UNCONDITIONAL, kind: "lock", ttl_ms, ...from(connection_id), ...more };
}

/** Releases the lock. */
export function unlock(connection_id: string, more: Partial<UnlockCommand> = {}): UnlockCommand {
  return { ...UNCONDITIONAL, kind: "unlock", ...from(connection_id), ...more };
}

/** The Brain's own command to a room. */
export function release(cause: ReleaseCommand["cause"], connection_id = ""): ReleaseCommand {
  return { ...UNCONDITIONAL, kind: "release", cause, connection_id };
}

/** Applies with the default limits. */
export function applied(
  document: RoomDocument,
  commands: readonly RoomCommand[],
  more: Partial<ApplyContext> = {},
): Applied {
  return applyCommands(document, commands, { ...CONTEXT, ...more });
}

/** The document after the commands. */
export function afterwards(
  commands: readonly RoomCommand[],
  document = emptyDocument(),
  more: Partial<ApplyContext> = {},
): RoomDocument {
  return applied(document, commands, more).document;
}

/** The single answer, as the client reads it: parsed JSON, `code reason: message`, or "later". */
export function answer(
  document: RoomDocument,
  command: RoomCommand,
  more: Partial<ApplyContext> = {},
): unknown {
  const [first] = applied(document, [command], more).outcomes;
  if (first === undefined || first === "later") return first;
  return first instanceof ArqonError
    ? `${first.code} ${first.reason}: ${first.message}`
    : JSON.parse(answerJson(first, { epoch: document.epoch, fence: 99, start: document.start }));
}

const key = fc.oneof(
  fc.constantFrom("a", "b", "__proto__", "constructor", "tab\there", "line\nfeed"),
  fc.string({ unit: anyCharacter, minLength: 1, maxLength: 8 }),
);
const version = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  fc.nat(8),
  fc.constant(2n ** 60n),
);
const connection = fc.constantFrom("", "c1", "c2", "c3");
const conditions = fc.record({
  from: connection.map((connection_id) => from(connection_id).from),
  expect_version: version,
  after_version: fc.constant(0),
  epoch: fc.constant(""),
  fence: fc.constant(0),
  command_key: fc.option(fc.nat(20).map(String), { nil: undefined }),
});
const value = fc.jsonValue().map((json) => JSON.stringify(json));

/** Any set or get, most of them without conditions. */
export const plainCommand: fc.Arbitrary<RoomCommand> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(conditions, key, value)
      .map(([common, name, json]): RoomCommand => ({
        ...common,
        kind: "set",
        key: name,
        value: json,
      })),
  },
  fc.tuple(
    conditions,
    fc.option(key, { nil: undefined }),
    fc.option(fc.nat(40), { nil: undefined }),
  )
    .map(([common, name, events_after]): RoomCommand => ({
      ...common,
      command_key: undefined,
      kind: "get",
      key: name,
      events_after,
    })),
);

/** Any command, including locks, without fences: those are known only after the write. */
export const anyCommand: fc.Arbitrary<RoomCommand> = fc.oneof(
  { weight: 4, arbitrary: plainCommand },
  fc.tuple(conditions, key)
    .map(([common, name]): RoomCommand => ({ ...common, kind: "delete", key: name })),
  fc.tuple(conditions, fc.integer({ min: 1, max: 50 }))
    .map(([common, ttl_ms]): RoomCommand => ({ ...common, kind: "lock", ttl_ms })),
  conditions.map((common): RoomCommand => ({ ...common, kind: "unlock" })),
  fc.tuple(conditions, fc.constantFrom<"tenant" | "room">("tenant", "room")).map((
    [common, scope],
  ): RoomCommand => ({
    ...common,
    kind: "ban",
    user_id: "u9",
    reason: "",
    ttl_ms: undefined,
    scope,
  })),
  fc.tuple(fc.constantFrom<"expired" | "holder-left">("expired", "holder-left"), connection)
    .map(([cause, connection_id]): RoomCommand => release(cause, connection_id)),
);
