/**
 * Activates schemas of the whole bus, all or none. Their versions are stored first, and one document names them: its
 * write, by compare-and-set, is the decision. Any Shield that sees a decided apply activates each schema's version,
 * once, and removes the apply from the document. Schemas of a tenant are part of the tenant's apply (`applies.ts`).
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import {
  BUS_KEY,
  decodeBusSchemas,
  encodeBusSchemas,
  noBusSchemas,
} from "../../shared/records/bus_schemas.ts";
import type { BusSchemas, StagedSchema } from "../../shared/records/bus_schemas.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvWatch } from "../../shared/spine/contract/spine.ts";
import type { AppliesOptions } from "./applies.ts";

/** The most conflicts with other writers before a step gives up. */
const ATTEMPTS = 64;
/** How long a Shield waits before it retries an unfinished apply, in ms. */
const AGAIN_MS = 1_000;

/** What applying to the whole bus needs of the process. */
interface BusAppliesOptions extends Pick<AppliesOptions, "now" | "random"> {
  /** The bucket of the tenants' settings. */
  readonly bucket: Pick<KeyValue, "get" | "update" | "watch">;
  readonly promote: NonNullable<AppliesOptions["promote"]>;
  /** Rejects if stored schemas can no longer be activated. */
  readonly requireStaged: (schemas: readonly StagedSchema[]) => Promise<void>;
  readonly log: Logger;
}

interface Stored {
  readonly document: BusSchemas;
  readonly revision: number;
}

const stale = (detail: string) =>
  new ArqonError("settings-conflict", `the plan is stale, nothing was changed: ${detail}`);

/** All applies to the bus by one process. */
export class BusApplies {
  readonly #options: BusAppliesOptions;
  readonly #watch: KvWatch;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #is_driving = false;
  #closed = false;

  constructor(options: BusAppliesOptions) {
    this.#options = options;
    this.#watch = options.bucket.watch(BUS_KEY, (change) => {
      if (change.type === "put") void this.#drive();
    });
  }

  /**
   * Activates the schemas; resolves to the id of the apply. Rejects with `settings-conflict` if another version or
   * apply was faster, and changes nothing. After any other rejection a Shield finishes the apply, if it is decided.
   */
  async apply(schemas: readonly StagedSchema[], by: string): Promise<string> {
    const { bucket, now, random, requireStaged } = this.#options;
    const { document, revision } = await this.#finished();
    await requireStaged(schemas);
    const id = random(16).toHex();
    const pending_schemas = { id, by, at_ms: now(), schemas: [...schemas] };
    const next = { ...document, version: document.version + 1, pending_schemas };
    try {
      await bucket.update(BUS_KEY, encodeBusSchemas(next), revision);
    } catch (error) {
      throw isConflict(error) ? stale("another apply of schemas to the bus is running") : error;
    }
    await this.#finished();
    return id;
  }

  /** Finishes the unfinished apply, if there is one, from any Shield. Rejects as the stores do. */
  async finish(): Promise<void> {
    await this.#finished();
  }

  close(): void {
    this.#closed = true;
    this.#watch.stop();
    clearTimeout(this.#timer);
  }

  async #read(): Promise<Stored> {
    const entry = await this.#options.bucket.get(BUS_KEY);
    if (entry === undefined) return { document: noBusSchemas(), revision: 0 };
    const decoded = decodeBusSchemas(entry.value);
    if ("document" in decoded) return { document: decoded.document, revision: entry.revision };
    const detail = `the stored document of the bus cannot be read: ${decoded.problem}`;
    throw new ArqonError("settings-conflict", detail);
  }

  /** The stored document after any unfinished apply is finished. Rejects as the stores do. */
  async #finished(): Promise<Stored> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const stored = await this.#read();
      const { document: { pending_schemas: pending, ...rest }, revision } = stored;
      if (pending === undefined) return stored;
      const { id, by, at_ms, schemas } = pending;
      for (const schema of schemas) await this.#promote(schema, { apply: id, by, at_ms });
      const applied_schemas = { id, by, at_ms };
      const next: BusSchemas = { ...rest, version: rest.version + 1, applied_schemas };
      try {
        await this.#options.bucket.update(BUS_KEY, encodeBusSchemas(next), revision);
      } catch (error) {
        // Another Shield made the same step.
        if (!isConflict(error)) throw error;
      }
    }
    throw new ArqonError(
      "settings-conflict",
      `an apply failed: ${ATTEMPTS} conflicts with other writers`,
    );
  }

  async #promote(
    schema: StagedSchema,
    decided: { readonly apply: string; readonly by: string; readonly at_ms: number },
  ): Promise<void> {
    const { promote, log } = this.#options;
    try {
      await promote(schema, decided);
    } catch (error) {
      if (!(error instanceof ArqonError) || error.reason !== "schema-unavailable") throw error;
      // The schema's bytes are lost, and later applies must not be blocked for ever.
      const { schema_id } = schema;
      log.error("a schema of the bus cannot be activated", { schema_id, error });
    }
  }

  /** Finishes an observed apply, and retries until it is finished. */
  async #drive(): Promise<void> {
    if (this.#closed || this.#is_driving) return;
    this.#is_driving = true;
    try {
      await this.#finished();
    } catch (error) {
      this.#options.log.warn("an apply to the bus could not be finished yet", { error });
      if (this.#closed) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#drive(), AGAIN_MS);
    } finally {
      this.#is_driving = false;
    }
  }
}
