/**
 * Ensures that a program is stored, and is not being removed, once a room's record says that the log may name it.
 * `removal/module_removal.ts` removes those that no room needs.
 */
import { ArqonError } from "@arqon/proto";
import { decodeRemoval, REMOVAL_KEY } from "../../../shared/records/reducer_record.ts";
import type { KeyValue, ObjectStore } from "../../../shared/spine/contract/spine.ts";
import { type RunnableProgram, storeProgram } from "./program.ts";

/** Programs that are known to be stored; beyond this the set is cleared. */
const KNOWN_MAX = 256;
const RETRY_MS = 1_000;

interface Stores {
  readonly records: Pick<KeyValue, "get">;
  readonly objects: ObjectStore;
}

/** The programs that this Brain knows to be stored. */
export class KeptPrograms {
  readonly #stores: Stores;
  /** The count of removals when the program was last seen. */
  readonly #known = new Map<string, number>();

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  /** Rejects with `brain-unavailable` while its module is being removed, or with an error of the stores. */
  async keep(program: RunnableProgram): Promise<void> {
    const { id, module } = program;
    const { records, objects } = this.#stores;
    const { number, modules } = decodeRemoval((await records.get(REMOVAL_KEY))?.value);
    if (modules.includes(module)) {
      const detail = `the module ${module} was needed by nobody, and is being removed`;
      throw new ArqonError("brain-unavailable", detail, { retry_after_ms: RETRY_MS });
    }
    if (this.#known.get(id) === number) return;
    await storeProgram(objects, program);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(id, number);
  }
}
