/**
 * Modules that are deployed to room classes, as a kind of a tenant's state. A class that is not in the list uses the
 * configured file. Modules are stored first, as for a deploy.
 */
import { ArqonError } from "@arqon/proto";
import {
  decodeDeployment,
  DEPLOYMENTS_BUCKET,
  encodeDeployment,
  withModule,
} from "../../shared/records/reducer_deployment.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import { slice } from "../../shared/turns/slices.ts";
import { deployed, deployedClasses, namedClass } from "./api.ts";
import type { ReducerAdminContext } from "./api.ts";
import { StateReducer } from "../../shared/records/tenant_settings.ts";
import type { DocumentKind, Writing } from "../settings/document_kinds.ts";
import { unlessNewer } from "../../shared/records/stored.ts";

class ReducersKind implements DocumentKind<StateReducer> {
  readonly entry = StateReducer;
  readonly off = undefined;
  readonly #context: ReducerAdminContext;

  constructor(context: ReducerAdminContext) {
    this.#context = context;
  }

  async tenants(): Promise<string[]> {
    const bucket = await this.#context.spine.keyValue(DEPLOYMENTS_BUCKET);
    const found: string[] = [];
    for (const key of await bucket.keys()) {
      const entry = await bucket.get(key);
      const deployment = entry && unlessNewer(() => decodeDeployment(entry.value));
      if (deployment === "newer" || (deployment?.current.module ?? "") !== "") {
        found.push(key[0] ?? "");
      }
    }
    return found;
  }

  async list(tenant_id: string): Promise<StateReducer[]> {
    const found: StateReducer[] = [];
    for (const one of deployedClasses(this.#context, tenant_id)) {
      const { deployment: { current: { module } } } = await deployed(this.#context, one);
      if (module !== "") found.push({ class: one.pattern, sha256: module });
    }
    return found;
  }

  async check(tenant_id: string, wanted: readonly StateReducer[]): Promise<StateReducer[]> {
    await this.require(tenant_id, wanted);
    return [...wanted];
  }

  /** Throws for a class without a reducer, and for a module that is not stored for it. */
  async require(tenant_id: string, wanted: readonly StateReducer[]): Promise<void> {
    for (const { class: pattern, sha256 } of wanted) {
      await slice(tenant_id);
      const one = namedClass(this.#context, tenant_id, pattern);
      if (one === undefined) {
        const detail = `reducers: tenant ${tenant_id} has no class of rooms ${pattern} with one`;
        throw new ArqonError("invalid-settings", detail);
      }
      const { deployment: { modules } } = await deployed(this.#context, one);
      if (modules.includes(sha256)) continue;
      const detail = `reducers: module ${sha256} is not stored for ${pattern}; upload it first`;
      throw new ArqonError("invalid-settings", detail);
    }
  }

  async write(writing: Writing, wanted: readonly StateReducer[]): Promise<void> {
    const names = new Set(wanted.map((one) => one.class));
    for (const { class: pattern } of await this.list(writing.tenant_id)) {
      if (!names.has(pattern)) await this.#put(writing, pattern, "");
    }
    for (const { class: pattern, sha256 } of wanted) await this.#put(writing, pattern, sha256);
  }

  async #put(
    { tenant_id, by, at_ms, isPending }: Writing,
    pattern: string,
    module: string,
  ): Promise<void> {
    const { spine, log } = this.#context;
    await slice(tenant_id);
    const one = namedClass(this.#context, tenant_id, pattern);
    const bucket = await spine.keyValue(DEPLOYMENTS_BUCKET);
    await changeDocument(async (mayLose) => {
      const stored = one && await deployed(this.#context, one);
      if (stored?.deployment.current.module === module || !await isPending()) return;
      const is_stored = module === "" || stored?.deployment.modules.includes(module) === true;
      if (stored === undefined || !is_stored) {
        // The module is lost, and the tenant's settings must not be blocked for ever.
        log.error("a reducer of an apply cannot be deployed", {
          tenant_id,
          class: pattern,
          module,
        });
        return;
      }
      const next = withModule(stored.deployment, { module, at_ms, by });
      await mayLose(bucket.update([tenant_id, pattern], encodeDeployment(next), stored.revision));
    });
  }
}

/** Reducer deployments as a kind of a tenant's state. */
export const reducersKind = (context: ReducerAdminContext): DocumentKind<StateReducer> =>
  new ReducersKind(context);
