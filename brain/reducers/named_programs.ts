/** The programs that `[[reducers]]` names: read, checked, and stored for every Brain. */
import type { ReducerEntry } from "../../shared/config/schema_durable.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { ObjectStore, Spine } from "../../shared/spine/contract/spine.ts";
import { programOf, type RunnableProgram, storeProgram } from "./log/program.ts";
import type { Wanted } from "./room/program_switch.ts";
import type { ReducerHost } from "./thread/host.ts";

interface NamingOptions {
  readonly config: Pick<Config, "reducers">;
  readonly spine: Pick<Spine, "payload_bytes_max">;
  /** Reads a file of the configuration; throws when it cannot. */
  readonly readFile: (path: string) => Uint8Array;
}

/** A reducer of the configuration. */
export interface Named {
  readonly entry: ReducerEntry;
  readonly wanted: Wanted;
}

/** The programs of the configuration, stored for every Brain. */
export async function namePrograms(
  { config: { reducers }, spine, readFile }: NamingOptions,
  objects: ObjectStore,
  host: ReducerHost,
): Promise<Map<string, Named>> {
  const named = new Map<string, Named>();
  for (const entry of reducers) {
    const bytes = readFile(entry.file);
    let program: RunnableProgram;
    let migrates: boolean;
    try {
      program = programOf(entry, bytes, spine.payload_bytes_max);
      migrates = await host.check(program);
    } catch (error) {
      const why = (error as Error).cause instanceof Error ? (error as Error).cause : error;
      const detail = `[[reducers]] ${entry.name}: ${entry.file}: ${(why as Error).message}`;
      throw new Error(detail, { cause: error });
    }
    await storeProgram(objects, program);
    named.set(entry.name, { entry, wanted: { program, migrates, deploy: 0 } });
  }
  return named;
}
