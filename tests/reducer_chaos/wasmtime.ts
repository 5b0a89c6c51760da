/** Folds a room's log in another engine, wasmtime, with a host and a fold in Python that were written from the ABI. */
import type { RoomSource } from "../../arq/reducers/room_fold.ts";
import { must } from "../../tasks/checkout/programs.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { writeLog } from "../verification/log_file.ts";
import type { FoldedRoom } from "./judge.ts";

const PYTHON = `${ROOT}.arqon/python/bin/python`;

/** Whether the environment of `deno task test:python` exists. */
export async function wasmtimeThere(): Promise<boolean> {
  return await Deno.stat(PYTHON).then(() => true, () => false);
}

/** The room's state there; the file keeps the log. */
export async function foldedElsewhere(
  source: RoomSource,
  path: string,
): Promise<Omit<FoldedRoom, "problems">> {
  await writeLog(source, path);
  const { stdout } = await must(PYTHON, [`${ROOT}tests/verification/rooms_by_wasmtime.py`, path]);
  return JSON.parse(stdout);
}
