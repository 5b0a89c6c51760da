/**
 * `arq room watch`: prints a room's members, or with `--values` its visible values, then changes, until `--count`
 * changes or Ctrl-C. The SDK keeps it correct over reconnects.
 */
import type { Member, Message, PresenceSubscription } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { objectMembers } from "../../../brain/desk/json_text.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, note, print } from "../../terminal/io.ts";
import { pause } from "../../../shared/within.ts";
import { changeText, countText, memberLine } from "../../answers/room_text.ts";
import { openConnection } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";
import { reduced, type ReducedValue, type ValuesChanged } from "@arqon/sdk/reducers";
import { shown } from "../../answers/reducer_text.ts";

/** Time in ms after which a missing answer is reported; a healthy bus is faster. */
const PATIENCE_MS = 5_000;

const SIGNS = { present: "=", join: "+", update: "~", leave: "-" } as const;

/** One running watch: its output, and how many changes are still to be printed. */
interface Watch {
  readonly io: Io;
  readonly room: PresenceSubscription;
  readonly json: boolean;
  left: number;
}

async function showMember(
  { io, room, json }: Watch,
  change: keyof typeof SIGNS,
  member: Member,
): Promise<void> {
  const { count: connections, users } = room.presence;
  if (!json) return await print(io.stdout, `${SIGNS[change]} ${memberLine({ ...member })}`);
  const line = { change, room: room.room, ...member, connections, users };
  await print(io.stdout, `${JSON.stringify(line)}\n`);
}

/** Prints one change. The last wanted change ends the subscription, and with it both loops. */
async function counted(watch: Watch, show: () => Promise<void>): Promise<void> {
  if (watch.left === 0) return;
  watch.left -= 1;
  await show();
  if (watch.left === 0) watch.room.close();
}

async function followMembers(watch: Watch): Promise<void> {
  const { presence } = watch.room;
  const changes = presence.changes();
  if (presence.count > 0) {
    const { value } = await changes.next();
    for (const member of value?.joined ?? []) await showMember(watch, "present", member);
  }
  const count = countText({ connections: presence.count, users: presence.users });
  await print(watch.io.stderr, `Watching ${watch.room.room}: ${count}\n`);
  for await (const { joined, updated, left } of changes) {
    for (
      const [change, members] of Object.entries({ join: joined, update: updated, leave: left })
    ) {
      for (const member of members) {
        await counted(watch, () => showMember(watch, change as keyof typeof SIGNS, member));
      }
    }
  }
}

async function showUpdate({ io, room, json }: Watch, message: Message): Promise<void> {
  const event = objectMembers(message.text());
  if (!json) return await print(io.stdout, `* ${changeText(event)}\n`);
  const head = [["change", '"room"'], ["room", JSON.stringify(room.room)]] as const;
  const members = [...head, ...event].map(([name, text]) => `${JSON.stringify(name)}:${text}`);
  await print(io.stdout, `{${members.join(",")}}\n`);
}

async function followState(watch: Watch): Promise<void> {
  const { io, room } = watch;
  for await (const message of room) {
    if (message.signal !== undefined) {
      const { kind, reason } = message.signal;
      const why = reason === "" ? "" : `: ${printable(reason)}`;
      const lost = kind === "GAP" ? "; changes of the state may be missing" : "";
      await note(io, `${kind} in ${room.room}${why}${lost}`);
      // A service may publish events of this type, and is then their sender. The Brain's have none.
    } else if (message.type === "ROOM_UPDATE" && message.sender === "") {
      await counted(watch, () => showUpdate(watch, message));
    }
  }
}

/** Reports after a while that the command waits for a Brain; the SDK waits without end and without a message. */
async function tellIfSlow(io: Io, room_id: string, ready: Promise<void>): Promise<void> {
  const over = new AbortController();
  const settle = () => over.abort();
  ready.then(settle, settle);
  await pause(PATIENCE_MS, AbortSignal.any([over.signal, io.signal]));
  if (over.signal.aborted || io.signal.aborted) return;
  const text = `still waiting for the members of ${room_id}; does a Brain run?`;
  await note(io, text);
}

/** Prints changes. Returns 0 after `--count` changes; Ctrl-C ends it by the abort signal. */
export async function roomWatch(io: Io, room_id: string, flags: Flags): Promise<Ended> {
  if (flags.prefix !== undefined) {
    throw usageError("--prefix needs --values: it selects the shown values");
  }
  await using connection = await openConnection(io, flags);
  const watched = connection.room(room_id);
  // Called here so that the loop misses no change of state.
  roomState(watched);
  const room = watched.subscribe({ presence: true, observer: true });
  // It only reports the delay; failures are reported by the watch itself.
  tellIfSlow(io, room_id, room.ready).catch(() => {});
  await room.ready;
  const watch: Watch = { io, room, json: flags.json === true, left: flags.count ?? Infinity };
  await Promise.all([followMembers(watch), followState(watch)]);
  if (watch.left > 0) {
    io.signal.throwIfAborted();
    return EXIT.failure;
  }
  await io.stdout.flush();
}

const VALUE_SIGNS = { value: "=", set: "~", delete: "-" } as const;

/** Changes waiting to be printed: a terminal that is slower than the room gets the newest of each key. */
type Waiting = Map<string, { readonly version: number; readonly value: ReducedValue | undefined }>;

const textOf = (value: ReducedValue) => typeof value === "string" ? value : shown(value);

function lineOf(
  room: string,
  change: keyof typeof VALUE_SIGNS,
  key: string,
  { version, value }: { readonly version: number; readonly value: ReducedValue | undefined },
  json: boolean,
): string {
  const text = value === undefined ? undefined : textOf(value);
  if (json) {
    return `${JSON.stringify({ change, room, version, key, value: text ?? null })}\n`;
  }
  const value_text = text === undefined ? "" : ` ${text}`;
  const head = `${VALUE_SIGNS[change]} ${change === "value" ? "" : `${version} `}`;
  return `${printable(`${head}${key}${value_text}`)}\n`;
}

/** Prints values and their changes. Returns 0 after `--count` changes; Ctrl-C ends it by the abort signal. */
export async function roomWatchValues(io: Io, room_id: string, flags: Flags): Promise<Ended> {
  await using connection = await openConnection(io, flags);
  const json = flags.json === true;
  using values = reduced(connection.room(room_id)).state.watch(flags.prefix, { signal: io.signal });
  const waiting: Waiting = new Map();
  let wake = () => {};
  let is_first = true;
  values.changed(({ version, changes }: ValuesChanged) => {
    if (!is_first) { for (const [key, value] of changes) waiting.set(key, { version, value }); }
    is_first = false;
    wake();
  });
  await values.ready;
  const { version } = values;
  for (const [key, value] of values.entries()) {
    if (waiting.has(key)) continue;
    await print(io.stdout, lineOf(room_id, "value", key, { version, value }, json));
  }
  await print(io.stderr, `Watching values of ${printable(room_id)}, as of entry ${version}\n`);
  const ended = values.ended.then(() => "ended" as const);
  for (let left = flags.count ?? Infinity; left > 0;) {
    if (waiting.size === 0) {
      const changed = new Promise<void>((resolve) => wake = resolve);
      if (await Promise.race([changed, ended]) === "ended") break;
      continue;
    }
    const [key, change] = waiting.entries().next().value!;
    waiting.delete(key);
    const what = change.value === undefined ? "delete" : "set";
    await print(io.stdout, lineOf(room_id, what, key, change, json));
    if (--left === 0) {
      await io.stdout.flush();
      return EXIT.ok;
    }
  }
  io.signal.throwIfAborted();
  return EXIT.failure;
}
