/**
 * The log of a reducer room as a file that `rooms_by_wasmtime.py` folds: a line for each module, before its entries.
 */
import type { RoomSource } from "../../arq/reducers/room_fold.ts";
import { loadProgram } from "../../brain/reducers/log/program.ts";
import { meterReducer } from "../../wasm/reducer/reducer_check.ts";
import { entryJson } from "./room_runs.ts";

/** Writes the file. */
export async function writeLog(source: RoomSource, path: string): Promise<void> {
  const lines: string[] = [];
  const write = (line: unknown) => void lines.push(`${JSON.stringify(line)}\n`);
  let program: string | undefined;
  for await (const batch of source.batches(0)) {
    if (batch.entries.length === 0) continue;
    if (program !== batch.program) {
      const { bytes, memory_limit_pages, price_version, fuel_limit: fuel } = await loadProgram(
        source,
        batch.program,
      );
      const metered = meterReducer(bytes, memory_limit_pages, price_version);
      write({ module: metered.bytes.toBase64(), fuel, room: source.room_id });
    }
    program = batch.program;
    for (const entry of batch.entries) write(entryJson(entry));
  }
  await Deno.writeTextFile(path, lines.join(""));
}
