/**
 * `arq room watch --values`: prints the values that a room with a reducer shows, then what becomes of them, until
 * `--count` changes or Ctrl-C. The SDK keeps them correct over reconnects.
 */
import { reduced, type ReducedValue, type ValuesChanged } from "@arqon/sdk/reducers";
import { shown } from "../../answers/reducer_text.ts";
import { openConnection } from "../../bus/target.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

const SIGNS = { value: "=", set: "~", delete: "-" } as const;

/** Changes that wait to be printed: a terminal that is slower than the room gets the newest of each key. */
type Waiting = Map<string, { readonly version: number; readonly value: ReducedValue | undefined }>;

const textOf = (value: ReducedValue) => typeof value === "string" ? value : shown(value);

function lineOf(
  room: string,
  change: keyof typeof SIGNS,
  key: string,
  { version, value }: { readonly version: number; readonly value: ReducedValue | undefined },
  json: boolean,
): string {
  const text = value === undefined ? undefined : textOf(value);
  if (json) {
    return `${JSON.stringify({ change, room, version, key, value: text ?? null })}\n`;
  }
  const said = text === undefined ? "" : ` ${text}`;
  const head = `${SIGNS[change]} ${change === "value" ? "" : `${version} `}`;
  return `${printable(`${head}${key}${said}`)}\n`;
}

/** Prints values, and what becomes of them. Returns 0 after `--count` changes; Ctrl-C ends it by the abort signal. */
export async function roomWatchValues(
  io: Io,
  room_id: string,
  flags: Flags,
): Promise<number> {
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
