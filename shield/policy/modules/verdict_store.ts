/**
 * Passed trial compilations, in the bucket `ARQON_POLICY_VERDICTS` for every process of the bus and its next start. An
 * entry vouches for exact bytes, of the upload and of the metered module, under one version of the transform and one
 * engine; anything else is tried again. `compile.ts` makes trials; nothing here can put a policy in force.
 */
import { z } from "zod";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { Env } from "../../../shared/env.ts";
import { listOnce } from "../../../shared/spine/contract/list_once.ts";
import type { KeyValue, KvKey, Spine } from "../../../shared/spine/contract/spine.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { STATE_KEYS_BYTES } from "../../../wasm/instance/state_keys.ts";

const BUCKET = "ARQON_POLICY_VERDICTS";
/** The most entries; beyond that the oldest quarter is deleted. */
const VERDICTS_MAX = 8_192;
/** The writes of this process between two counts of the entries. */
const COUNT_EVERY = 256;

const HEX = z.string().regex(/^[0-9a-f]{64}$/);
const Verdict = z.strictObject({
  format: z.literal(2),
  sha256: HEX,
  metered_sha256: HEX,
  /** The state that the module declared in the trial. */
  state_keys: z.string().max(STATE_KEYS_BYTES),
  /** Transform, compilers, limits, engine and machine. */
  engine: z.string().max(512),
  /** A seal of the fields above: a changed or moved entry does not count. */
  seal: HEX,
});
type Verdict = z.output<typeof Verdict>;

type PassedTrial = Readonly<Pick<Verdict, "metered_sha256" | "state_keys">>;

/** The dependencies and settings of the store of verdicts. */
export interface VerdictStoreOptions extends Pick<Env, "log"> {
  readonly bucket: KeyValue;
  /** The engine: a verdict depends on it and on the bytes, so each engine has its own verdicts. */
  readonly engine: string;
  readonly max?: number;
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

function sealOf({ format, sha256, metered_sha256, state_keys, engine }: Omit<Verdict, "seal">) {
  return sha256Hex(bytesOf(JSON.stringify([format, sha256, metered_sha256, state_keys, engine])));
}

/** Reads an entry; undefined if it is not valid for this upload and this engine. */
async function read(
  value: Uint8Array,
  expected: Pick<Verdict, "sha256" | "engine">,
): Promise<Verdict | undefined> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
  } catch {
    return undefined;
  }
  const { data } = Verdict.safeParse(json);
  if (data === undefined || data.sha256 !== expected.sha256) return undefined;
  if (data.engine !== expected.engine) return undefined;
  return await sealOf(data) === data.seal ? data : undefined;
}

/** Deletes the oldest entries until three quarters of `max` are left, if there are more than `max`. */
async function trim(bucket: KeyValue, max: number): Promise<void> {
  if ((await bucket.keys()).length <= max) return;
  const entries = await listOnce(bucket);
  entries.sort((a, b) => b.revision - a.revision);
  for (const { key } of entries.slice(Math.floor(max * 3 / 4))) await bucket.delete(key);
}

/** The passed trials, by the upload's sha256. */
export class VerdictStore {
  readonly #options: VerdictStoreOptions;
  readonly #max: number;
  readonly #known: BoundedMap<string, PassedTrial>;
  #written = 0;

  constructor(options: VerdictStoreOptions) {
    this.#options = options;
    this.#max = options.max ?? VERDICTS_MAX;
    this.#known = new BoundedMap(this.#max);
  }

  /**
   * The passed trial: the digest of the metered bytes, and their declared state; undefined: none is known. Never
   * rejects.
   */
  async passed(sha256: string): Promise<PassedTrial | undefined> {
    const here = this.#known.get(sha256);
    if (here !== undefined) return here;
    // The module is then compiled in a new trial.
    const found = await this.#fetch(sha256).catch(() => undefined);
    if (found !== undefined) this.#known.renew(sha256, found);
    return found;
  }

  /** Never rejects. */
  async remember(sha256: string, trial: PassedTrial): Promise<void> {
    this.#known.renew(sha256, trial);
    await this.#write(sha256, trial).catch((error) => {
      const { log } = this.#options;
      log.warn("a trial compilation cannot be stored; the next start repeats it", {
        sha256,
        error,
      });
    });
  }

  async #keyOf(sha256: string): Promise<KvKey> {
    return [sha256, (await sha256Hex(bytesOf(this.#options.engine))).slice(0, 32)];
  }

  async #fetch(sha256: string): Promise<PassedTrial | undefined> {
    const { bucket, engine, log } = this.#options;
    const entry = await bucket.get(await this.#keyOf(sha256));
    if (entry === undefined) return undefined;
    const verdict = await read(entry.value, { sha256, engine });
    if (verdict !== undefined) {
      return { metered_sha256: verdict.metered_sha256, state_keys: verdict.state_keys };
    }
    log.warn("a stored trial compilation has other bytes; the module is tried again", { sha256 });
    return undefined;
  }

  async #write(sha256: string, trial: PassedTrial): Promise<void> {
    const { bucket, engine } = this.#options;
    const verdict = { format: 2, sha256, ...trial, engine } as const;
    const value = bytesOf(JSON.stringify({ ...verdict, seal: await sealOf(verdict) }));
    await bucket.put(await this.#keyOf(sha256), value);
    if (this.#written++ % COUNT_EVERY === 0) await trim(bucket, this.#max);
  }
}

/**
 * Opens the bucket, and makes it if necessary. Undefined, with a log line, if that fails: then every start runs its own
 * trials.
 */
export async function openVerdicts(
  spine: Spine,
  options: Omit<VerdictStoreOptions, "bucket">,
): Promise<VerdictStore | undefined> {
  try {
    return new VerdictStore({ ...options, bucket: await spine.keyValue(BUCKET) });
  } catch (error) {
    options.log.warn("trial compilations are not stored: the bucket cannot be opened", {
      bucket: BUCKET,
      error,
    });
    return undefined;
  }
}
