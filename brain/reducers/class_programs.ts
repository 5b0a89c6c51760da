/**
 * The wanted program of each class of rooms: the last deployed module, else the file of `[[reducers]]`. Follows
 * deployments and loads them. `room/program_switch.ts` decides when a room takes it.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Counter } from "../../shared/metrics/metrics.ts";
import { decodeDeployment, DEPLOYMENTS_BUCKET } from "../../shared/records/reducer_deployment.ts";
import type { ReducerDeployment } from "../../shared/records/reducer_deployment.ts";
import type {
  KeyValue,
  KvEntry,
  KvWatch,
  ObjectStore,
  Spine,
} from "../../shared/spine/contract/spine.ts";
import { loadModule, loadProgram, programOf, storeProgram } from "./log/program.ts";
import type { RunnableProgram } from "./log/program.ts";
import { createDeployMetric } from "./metrics.ts";
import type { Wanted } from "./room/program_switch.ts";
import type { ReducerHost } from "./thread/host.ts";
import { compileUnits } from "./thread/thread_price.ts";
import { unlessNewer } from "../../shared/records/stored.ts";
import type { ReducerEntry } from "../../shared/config/schema_durable.ts";
import { createHash } from "node:crypto";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

/** Delay before the first retry of a module that could not be loaded, in ms; doubles with each retry. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 30_000;
/** Programs of logs that are cached for the next room, least recently used evicted first. */
const PROGRAMS_MAX = 256;

/** A class of rooms, and the reducer of its configuration. */
export interface ReducedClass {
  readonly tenant_id: string;
  readonly pattern: string;
  /** The name in `[[reducers]]`. */
  readonly reducer: string;
}

interface ClassProgramsOptions extends Pick<Env, "spine" | "registry" | "log" | "monotonic_ms"> {
  readonly config: Pick<Config, "reducers">;
  /** Reads a file of the configuration; throws when it cannot. */
  readonly readFile: (path: string) => Uint8Array;
}

/** What loading a deployed module costs, and who pays. */
interface DeployPrice {
  /** Ms until the tenant has fuel and no exhausted budget, or until the next try; 0: now. */
  readonly wait: (tenant_id: string) => number;
  /** Called when a module was compiled for a class. */
  readonly compiled: (one: ReducedClass, units: number) => void;
}

/** The deployment of one class. */
interface Followed {
  readonly tenant_id: string;
  readonly pattern: string;
  deployment: ReducerDeployment;
  revision: number;
  /** The last module that could be loaded. */
  loaded: Wanted | undefined;
  loading: Promise<void> | undefined;
  retry_at_ms: number;
  pause_ms: number;
}

const keyOf = (tenant_id: string, pattern: string) => `${tenant_id}/${pattern}`;

/** The wanted programs of all classes of a running Brain. */
export class ClassPrograms {
  readonly deployments: KeyValue;
  readonly #options: ClassProgramsOptions;
  readonly #named: ReadonlyMap<string, Named>;
  readonly #objects: ObjectStore;
  readonly #host: ReducerHost;
  readonly #followed = new Map<string, Followed>();
  readonly #programs: Map<string, RunnableProgram>;
  readonly #price: DeployPrice;
  readonly #loads: Counter<"outcome">;
  /** Whether the deployments from before the start of this Brain are known and were tried. */
  #is_open = false;
  readonly #watch: KvWatch;
  #onChange: (tenant_id: string) => void = () => {};

  private constructor(
    options: ClassProgramsOptions,
    named: ReadonlyMap<string, Named>,
    stores: { bucket: KeyValue; objects: ObjectStore; host: ReducerHost; price: DeployPrice },
  ) {
    this.#price = stores.price;
    this.#options = options;
    this.#named = named;
    this.deployments = stores.bucket;
    this.#objects = stores.objects;
    this.#host = stores.host;
    this.#programs = new Map(
      named.values().map(({ wanted: { program } }) => [program.id, program]),
    );
    this.#loads = createDeployMetric(options.registry);
    this.#watch = stores.bucket.watch([], (change) => {
      if (change.type === "put") return this.#take(change);
      const [tenant_id = "", pattern = ""] = change.key;
      this.#followed.delete(keyOf(tenant_id, pattern));
      this.#onChange(tenant_id);
    });
  }

  /**
   * Resolves once the deployments are known and were tried. Rejects with `spine-unavailable`, or with the fault of a
   * module of the configuration.
   */
  static async open(
    options: ClassProgramsOptions,
    objects: ObjectStore,
    host: ReducerHost,
    price: DeployPrice,
  ): Promise<ClassPrograms> {
    const named = await namePrograms(options, objects, host);
    const bucket = await options.spine.keyValue(DEPLOYMENTS_BUCKET, { leaves_stream: true });
    const programs = new ClassPrograms(options, named, { bucket, objects, host, price });
    await programs.#watch.ready;
    await Promise.all(programs.#followed.values().map(({ loading }) => loading));
    programs.#is_open = true;
    return programs;
  }

  /** Calls the listener when another program is wanted for a class of the tenant. It must not throw. */
  onChange(listener: (tenant_id: string) => void): void {
    this.#onChange = listener;
  }

  close(): void {
    this.#watch.stop();
  }

  /** The program of `[[reducers]]` with that name, or undefined. */
  named(reducer: string): Named | undefined {
    return this.#named.get(reducer);
  }

  /** Modules of the configuration, and those in force that this Brain has loaded. */
  modules(): Set<string> {
    const loaded = this.#followed.values().map(({ loaded }) => loaded?.program.module ?? "");
    const named = this.#named.values().map(({ wanted: { program } }) => program.module);
    return new Set([...named, ...loaded]);
  }

  /** The wanted program of the class, as far as this Brain has loaded it. */
  wanted({ tenant_id, pattern, reducer }: ReducedClass): Wanted | undefined {
    const followed = this.#followed.get(keyOf(tenant_id, pattern));
    const configured = this.#named.get(reducer)?.wanted;
    if (followed === undefined || followed.deployment.reducer !== reducer) return configured;
    return followed.loaded ?? configured;
  }

  /** The same, read from storage now; undefined if this Brain cannot load it. Rejects with `spine-unavailable`. */
  async wantedNow(about: ReducedClass): Promise<Wanted | undefined> {
    const { tenant_id, pattern, reducer } = about;
    const stored = await this.deployments.get([tenant_id, pattern]);
    if (stored === undefined) return this.#named.get(reducer)?.wanted;
    this.#take(stored);
    const followed = this.#followed.get(keyOf(tenant_id, pattern));
    await followed?.loading;
    const found = this.wanted(about);
    const is_other = followed === undefined || followed.deployment.reducer !== reducer;
    return is_other || found?.deploy === followed.deployment.number ? found : undefined;
  }

  /** A program by its id. Rejects with `log-unavailable` when it is not stored. */
  async byId(id: string): Promise<RunnableProgram> {
    const known = this.#programs.get(id) ?? await loadProgram(this.#objects, id);
    this.#programs.delete(id);
    this.#programs.set(id, known);
    if (this.#programs.size > PROGRAMS_MAX) {
      const [oldest = ""] = this.#programs.keys();
      this.#programs.delete(oldest);
    }
    return known;
  }

  /** The tenant need not wait any longer: the next `retry` tries its queue. */
  hasOpened(tenant_id: string): void {
    for (const followed of this.#followed.values()) {
      if (followed.tenant_id === tenant_id) followed.retry_at_ms = 0;
    }
  }

  /** Retries what could not be loaded. */
  retry(): void {
    const now_ms = this.#options.monotonic_ms();
    for (const followed of this.#followed.values()) {
      const { loaded, loading, deployment: { number }, retry_at_ms } = followed;
      if (loaded?.deploy === number || loading !== undefined || now_ms < retry_at_ms) continue;
      this.#load(followed);
    }
  }

  #take({ key, value, revision }: KvEntry): void {
    const [tenant_id = "", pattern = ""] = key;
    const before = this.#followed.get(keyOf(tenant_id, pattern));
    if (before !== undefined && before.revision >= revision) return;
    const deployment = unlessNewer(() => decodeDeployment(value));
    if (deployment === "newer") return;
    if (deployment === undefined) {
      this.#options.log.error("what is deployed cannot be read", { tenant_id, class: pattern });
      return;
    }
    // Nothing was deployed yet: the first module is being stored.
    if (deployment.number === 0) return;
    const made = { tenant_id, pattern, loaded: undefined, loading: undefined };
    const followed = before ??
      { ...made, deployment, revision, retry_at_ms: 0, pause_ms: RETRY_MS };
    Object.assign(followed, { deployment, revision, pause_ms: RETRY_MS });
    this.#followed.set(keyOf(tenant_id, pattern), followed);
    this.#load(followed);
  }

  #load(followed: Followed): void {
    const before = followed.loading ?? Promise.resolve();
    const loading: Promise<void> = before.then(() => this.#tryLoad(followed)).then(() => {
      if (followed.loading === loading) followed.loading = undefined;
    });
    followed.loading = loading;
  }

  /** Never rejects. */
  async #tryLoad(followed: Followed): Promise<void> {
    const { log, monotonic_ms } = this.#options;
    const { tenant_id, pattern, deployment } = followed;
    const { reducer, number, current: { module } } = deployment;
    const about = { tenant_id, class: pattern, reducer, module, deploy: number };
    if (followed.loaded?.deploy === number) return;
    // Loading at the start of a Brain is no deploy, and the configuration's module is loaded already: nobody pays or
    // waits.
    const wait_ms = this.#is_open && module !== "" ? this.#price.wait(tenant_id) : 0;
    if (wait_ms > 0) {
      followed.retry_at_ms = monotonic_ms() + wait_ms;
      this.#loads.inc({ outcome: "held" });
      return;
    }
    const named = this.#named.get(reducer);
    try {
      if (named === undefined) throw new Error(`no [[reducers]] has the name ${reducer}`);
      const wanted = module === "" ? named.wanted : await this.#loadModule(named, module, followed);
      followed.loaded = { ...wanted, deploy: number };
    } catch (error) {
      followed.retry_at_ms = monotonic_ms() + followed.pause_ms;
      followed.pause_ms = Math.min(RETRY_MAX_MS, followed.pause_ms * 2);
      this.#loads.inc({ outcome: "failed" });
      log.error("a module that was deployed cannot be loaded; rooms stay as they are", {
        ...about,
        error,
      });
      return;
    }
    this.#loads.inc({ outcome: "loaded" });
    log.info("a module that was deployed is loaded", about);
    this.#onChange(tenant_id);
  }

  async #loadModule(
    { entry }: Named,
    module: string,
    { tenant_id, pattern, deployment: { reducer } }: Followed,
  ): Promise<Omit<Wanted, "deploy">> {
    const bytes = await loadModule(this.#objects, module);
    const program = programOf(entry, bytes, this.#options.spine.payload_bytes_max);
    if (this.#is_open) this.#price.compiled({ tenant_id, pattern, reducer }, compileUnits(program));
    const migrates = await this.#host.check(program, this.#is_open ? tenant_id : undefined);
    await storeProgram(this.#objects, program);
    return { program, migrates };
  }
}

interface NamingOptions {
  readonly config: Pick<Config, "reducers">;
  readonly spine: Pick<Spine, "payload_bytes_max">;
  /** Reads a file of the configuration; throws when it cannot. */
  readonly readFile: (path: string) => Uint8Array;
}

/** A reducer of the configuration. */
interface Named {
  readonly entry: ReducerEntry;
  readonly wanted: Wanted;
}

/** The programs of the configuration, stored for every Brain. */
async function namePrograms(
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

// Clients get a room's module metered, so that an endless loop ends in a client, too.

/** Bytes of a page; base64 adds a third. */
const PAGE_BYTES = 98_304;

interface Served {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

/** Modules as clients get them, cached as long as their programs are. */
const made = new WeakMap<RunnableProgram, Promise<Served>>();

function servedOf(program: RunnableProgram, host: Pick<ReducerHost, "metered">): Promise<Served> {
  const known = made.get(program);
  if (known !== undefined) return known;
  const making = host.metered(program).then((bytes) => {
    return { bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
  });
  made.set(program, making);
  // The thread has died: another one is asked.
  making.catch(() => made.delete(program));
  return making;
}

/** The page that starts at a byte, as JSON. Rejects as the thread does. */
export async function modulePage(
  program: RunnableProgram,
  from: number,
  host: Pick<ReducerHost, "metered">,
): Promise<string> {
  const { bytes, sha256 } = await servedOf(program, host);
  const { module, fuel_limit } = program;
  return JSON.stringify({
    module,
    sha256,
    size_bytes: bytes.length,
    from,
    fuel_units: Math.round(fuel_limit * UNITS_PER_FUEL),
    bytes: bytes.subarray(from, from + PAGE_BYTES).toBase64(),
  });
}
