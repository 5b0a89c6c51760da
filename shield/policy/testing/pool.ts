/** A pool for tests: real workers, a clock that the test can advance. Tests only. */
import { createMetrics, type Registry } from "../../../shared/metrics/metrics.ts";
import { parseConfig } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { QuarantinedModule } from "../modules/quarantine.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import { PolicyPool } from "../pool/pool.ts";
import { keptLog } from "../../../shared/testing/logs.ts";
import { type GuestText, loadableGuest } from "./guests.ts";
import { binding } from "./modules.ts";

/** A running pool, closed when the scope ends. */
export interface TestPool extends AsyncDisposable {
  readonly pool: PolicyPool;
  readonly registry: Registry;
  readonly lines: readonly string[];
  /** What `onFatal` was called with. */
  readonly fatal: readonly string[];
  readonly quarantined: readonly QuarantinedModule[];
  readonly looks: number;
  /** Advances the pool's clock. */
  forward(ms: number): void;
  /** Meters and loads a policy under a name, which is also its sha256. */
  load(name: string, guest: GuestText): void;
}

/** The special options of a test's pool. */
export interface TestPoolOptions {
  readonly policy?: Partial<Config["policy"]>;
  readonly fuel_limit?: number;
  /** CPU time of the process; absent: it always has a core. */
  readonly cpu_ms?: () => number;
  /** The pool's clock only moves when the test advances it. */
  readonly stands_still?: boolean;
}

/** Starts a pool with one worker, whose requests never stall unless a test sets that. */
export async function startTestPool(options: TestPoolOptions = {}): Promise<TestPool> {
  const config = parseConfig("", { file: "test" });
  const registry = createMetrics({ node_id: "test", version: "0" });
  const { log, lines } = keptLog();
  const fatal: string[] = [];
  const quarantined: QuarantinedModule[] = [];
  let forward_ms = 0;
  let looks = 0;
  const { fuel_limit = 10_000 } = options;
  // A busy machine must not look like a wedge.
  const wedge_ms = 60_000;
  const bounds = { workers: 1, stall_ms: 60_000, wedge_ms, chain_fuel_limit: 2 * fuel_limit };
  const pool = new PolicyPool({
    policy: { ...config.policy, ...bounds, ...options.policy },
    overseer: { ...config.platform.overseer, fuel_limit },
    cores: 2,
    registry,
    log,
    now() {
      looks++;
      return (options.stands_still === true ? 0 : performance.now()) + forward_ms;
    },
    cpu_ms: options.cpu_ms ?? (() => performance.now()),
    onFatal: (detail) => fatal.push(detail),
    quarantine: {
      has: (name) => quarantined.some(({ sha256 }) => sha256 === name),
      add: (sha256, why) => void quarantined.push({ sha256, why, at_ms: 0, node: "" }),
      list: () => quarantined,
    },
  });
  await pool.ready();
  return {
    pool,
    registry,
    lines,
    fatal,
    quarantined,
    get looks() {
      return looks;
    },
    forward: (ms) => void (forward_ms += ms),
    load: (name, guest) => pool.load(name, loadableGuest(guest)),
    [Symbol.asyncDispose]: () => Promise.resolve(pool.close()),
  };
}

/** A binding of the module that was loaded under the policy's name. */
export function policy(name: string, more: Partial<PolicyBinding> = {}): PolicyBinding {
  return binding({ name, sha256: name, ...more });
}

let messages = 0;

/** A message of tenant "acme" through these policies, of its own sender, so that a failure slows no other message. */
export function message(
  chain: readonly PolicyBinding[],
  more: Partial<EvaluateRequest> = {},
): EvaluateRequest {
  const sender = `u${++messages}`;
  return {
    hook: "on_message",
    tenant_id: "acme",
    connection_id: "c1",
    sender,
    source: sender,
    can_be_closed: true,
    chain,
    facts: () => ({ headers: [], claims: {} }),
    payload: new TextEncoder().encode("hello"),
    payload_most: 65_536,
    ...more,
  };
}
