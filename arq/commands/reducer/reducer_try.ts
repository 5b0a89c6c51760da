/**
 * `arq reducer test`: applies a reducer to the commands of a file and prints what each came to, with digests
 * that are the same wherever it is done again. It needs no bus, and no bus runs reducers yet.
 */
import type { RoomState } from "../../../brain/reducers/state/room_state.ts";
import { emptyRoom } from "../../../brain/reducers/state/room_state.ts";
import { ROOM_BOUNDS } from "../../../brain/reducers/state/room_bounds.ts";
import { unpackSnapshot } from "../../../brain/reducers/state/packed_snapshot.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  SnapshotError,
} from "../../../brain/reducers/state/snapshot.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { endLine, type RunEnd, stepLine } from "../../answers/reducer_text.ts";
import { requireModule } from "../../policies/module_file.ts";
import { createLineReader } from "../../reducers/commands_file.ts";
import { schemaProblems } from "../../reducers/schema_check.ts";
import { differingParts } from "../../reducers/difference.ts";
import { type Applier, createApplier, runLine, TooManyTimers } from "../../reducers/reducer_run.ts";
import { cannotWrite, CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { print, resolvePath } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { readNdjson } from "../../terminal/ndjson.ts";
import type { Flags } from "../../program/flags.ts";

/** Entries in a row, after which pending signals are handled. */
const ENTRIES_AT_ONCE = 64;

async function applierOf(
  io: Io,
  file: string,
  flags: Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">,
  begin: RoomState,
): Promise<Applier> {
  const [, source] = /\.(ts|rs)$/i.exec(file) ?? [];
  if (source !== undefined) {
    throw usageError(
      `${file} is a reducer's source; expected the module that is built of it, a .wasm file`,
      source.toLowerCase() === "ts"
        ? `arq reducer build ${file} makes it`
        : "cargo build --release --target wasm32-unknown-unknown makes it",
    );
  }
  requireModule(file);
  const bytes = await readInput(io, file);
  const room = { room_id: flags.room, bounds: ROOM_BOUNDS };
  const { fuelLimit: fuel_limit, memoryLimitPages: memory_limit_pages } = flags;
  try {
    return await createApplier(bytes, { room, fuel_limit, memory_limit_pages }, begin);
  } catch (error) {
    if (!(error instanceof PolicyModuleError)) throw error;
    throw new CommandError(
      `${file} is refused (${error.reason}): ${printable(error.message)}`,
      EXIT.failure,
    );
  }
}

async function beginning(
  io: Io,
  { begin }: Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">,
): Promise<RoomState> {
  if (begin === undefined) return emptyRoom();
  try {
    return decodeSnapshot(unpackSnapshot(await readInput(io, begin)));
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    throw new CommandError(
      `${begin}: ${error.message}`,
      EXIT.failure,
      "expected a file that arq reducer test --snapshot has written",
    );
  }
}

async function writeSnapshot(io: Io, file: string, state: RoomState): Promise<void> {
  const path = resolvePath(io.cwd, file);
  try {
    await io.files.write(path, encodeSnapshot(state));
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

async function* bytesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** Applies every line, and prints each entry as it is applied. Gives the counts. */
async function runAll(
  io: Io,
  flags: Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">,
  applier: Applier,
  other: Applier | undefined,
): Promise<Pick<RunEnd, "entries" | "faults" | "differing" | "forbidden" | "unlike">> {
  const counts = { entries: 0, faults: 0, differing: 0, forbidden: 0, unlike: 0 };
  const json = flags.json === true;
  const readLine = createLineReader(flags.commands, applier.state.time_ms);
  const chunks = bytesOf(await readInput(io, flags.commands));
  for await (const { line, bytes } of readNdjson(chunks, flags.commands)) {
    const about = readLine(line, new TextDecoder().decode(bytes));
    for (const step of runLine(applier, about, flags.seed)) {
      if (step.forbidden) {
        counts.forbidden++;
        await print(
          io.stdout,
          stepLine(step, { json, parts: [], against: undefined, problems: [] }),
        );
        continue;
      }
      const { schema } = applier;
      const problems = schema ? schemaProblems(schema, step.command, step.outcome) : [];
      if (problems.length > 0) counts.unlike++;
      const against = other?.apply(step.entry);
      const parts = against === undefined ? [] : differingParts(step.outcome, against.outcome);
      counts.entries++;
      if (step.outcome.kind === "fault") counts.faults++;
      if (parts.length > 0) counts.differing++;
      await print(io.stdout, stepLine(step, { json, parts, against: against?.outcome, problems }));
      if (counts.entries % ENTRIES_AT_ONCE !== 0) continue;
      await new Promise((resolve) => setTimeout(resolve));
      io.signal.throwIfAborted();
    }
  }
  return counts;
}

/** Runs a file of commands. Returns 1 when one of them was a fault, is not as the schema says, or when two modules differ. */
export async function reducerTry(
  io: Io,
  file: string,
  flags: Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">,
): Promise<number> {
  const begin = await beginning(io, flags);
  const applier = await applierOf(io, file, flags, begin);
  const { compare: against } = flags;
  const other = against === undefined ? undefined : await applierOf(io, against, flags, begin);
  const counts = await runAll(io, flags, applier, other).catch((error) => {
    if (!(error instanceof TooManyTimers)) throw error;
    throw new CommandError(error.message, EXIT.failure, "let lines be closer in time");
  });
  const { state } = applier;
  if (flags.snapshot !== undefined) await writeSnapshot(io, flags.snapshot, state);
  const end = { file, against, state, other: other?.state, ...counts };
  await print(
    io.stdout,
    endLine(end, { json: flags.json === true, values: flags.values === true }),
  );
  return counts.faults + counts.differing + counts.unlike === 0 ? EXIT.ok : EXIT.failure;
}
