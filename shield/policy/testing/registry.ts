/** Shared parts of the tests of registry and admin API: a registry on a Spine, with its loader and log. Tests only. */
import { Registry } from "prom-client";
import { keptLog } from "../../../shared/testing/logs.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { testSpine } from "../../testing/spine.ts";
import { withPolicy } from "../chain/chain.ts";
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import { createPolicyRegistry } from "../chain/registry.ts";
import type { PolicyRegistry, PolicyRegistryOptions } from "../chain/registry.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { binding, type CompilingLoader, compilingLoader, tinyModule } from "./modules.ts";

/** How long a test waits for an event before it fails. */
export const DEADLINE_MS = 20_000;

/** A registry, and what tests can read of it. */
export interface TestRegistry extends Disposable {
  readonly registry: PolicyRegistry;
  readonly loader: CompilingLoader;
  readonly metrics: Registry;
  /** Every line logged so far. */
  readonly lines: readonly string[];
}

/** A registry on `spine`, ready unless `more` changes the waits. */
export async function testRegistry(
  spine: Spine,
  more: Partial<PolicyRegistryOptions> & { wait?: boolean } = {},
): Promise<TestRegistry> {
  const loader = compilingLoader();
  const metrics = new Registry();
  const { log, lines } = keptLog({ level: "info", component: "overseer" });
  const { wait = true, ...options } = more;
  const base = { spine, loader, log, now: Date.now, registry: metrics };
  const registry = await createPolicyRegistry({ ...base, ...options });
  if (wait) await registry.ready;
  return { registry, loader, metrics, lines, [Symbol.dispose]: () => registry.close() };
}

/** A test of a registry on an embedded Spine of its own. */
export function onRegistry(
  what: string,
  run: (one: TestRegistry, spine: Spine) => Promise<void>,
  more: Partial<PolicyRegistryOptions> = {},
): void {
  Deno.test(what, async () => {
    await using engine = testSpine();
    using one = await testRegistry(engine.spine, more);
    await run(one, engine.spine);
  });
}

/** Uploads tiny module `number` and binds it to `tenant`; resolves with the document's revision. */
export async function deployTiny(
  { registry: { store } }: TestRegistry,
  tenant: string,
  number: number,
  more: Partial<PolicyBinding> = {},
): Promise<number> {
  const sha256 = await store.putModule(tinyModule(number));
  const author = { by: "ops", at_ms: Date.now() };
  const { revision } = await store.change(
    tenant,
    (document) => withPolicy(document, binding({ sha256, ...more }), author),
  );
  return revision;
}

/** The sha256 of tiny module `number`. */
export const tinyName = (number: number): Promise<string> => sha256Hex(tinyModule(number));
