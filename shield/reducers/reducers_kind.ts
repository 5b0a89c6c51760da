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
import { slice, STRANGERS } from "../../shared/turns/slices.ts";
import { deployed, deployedClasses, namedClass, requireModule, withOwn } from "./api.ts";
import type { AdminCall } from "../admin/routing/admin_routes.ts";
import type { ReducerAdminContext } from "./api.ts";
import { StateReducer } from "../../shared/records/tenant_settings.ts";
import type { DocumentKind, ItemWrite, Writing } from "../settings/document_kinds.ts";
import { unlessNewer } from "../../shared/records/stored.ts";

class ReducersKind implements DocumentKind<StateReducer> {
  readonly entry = StateReducer;
  readonly off = undefined;
  readonly #context: ReducerAdminContext;

  constructor(context: ReducerAdminContext) {
    this.#context = context;
  }

  with(...own: Parameters<NonNullable<DocumentKind<StateReducer>["with"]>>): ReducersKind {
    return new ReducersKind(withOwn(this.#context, ...own));
  }

  async tenants(): Promise<Set<string>> {
    const bucket = await this.#context.spine.keyValue(DEPLOYMENTS_BUCKET);
    const found = new Set<string>();
    for (const key of await bucket.keys()) {
      const [tenant_id = ""] = key;
      if (found.has(tenant_id)) continue;
      await slice(STRANGERS);
      const entry = await bucket.get(key);
      const deployment = entry && unlessNewer(() => decodeDeployment(entry.value));
      if (deployment === "newer" || (deployment?.current.module ?? "") !== "") found.add(tenant_id);
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

  async check(tenant_id: string, wanted: readonly StateReducer[], is_dry?: boolean) {
    await this.require(tenant_id, wanted, is_dry);
    return [...wanted];
  }

  async checkModule(call: AdminCall, pattern: string, bytes: Uint8Array): Promise<void> {
    await requireModule(this.#context, { ...call, names: { class: pattern } }, bytes);
  }

  /** Throws for a class without a reducer, and for a module that is not stored for it unless `is_dry`. */
  async require(tenant_id: string, wanted: readonly StateReducer[], is_dry = false): Promise<void> {
    for (const { class: pattern, sha256 } of wanted) {
      await slice(tenant_id);
      const one = namedClass(this.#context, tenant_id, pattern);
      if (one === undefined) {
        const detail = `reducers: tenant ${tenant_id} has no class of rooms ${pattern} with one`;
        throw new ArqonError("invalid-settings", detail);
      }
      const { deployment: { modules } } = await deployed(this.#context, one);
      if (is_dry || modules.includes(sha256)) continue;
      const detail = `reducers: module ${sha256} is not stored for ${pattern}; upload it first`;
      throw new ArqonError("invalid-settings", detail);
    }
  }

  async write(writing: Writing, wanted: readonly StateReducer[]): Promise<void> {
    const listed = (await this.list(writing.tenant_id)).map((one) => one.class);
    const modules = new Map(wanted.map((one) => [one.class, one.sha256]));
    await writing.change(
      new Set([...modules.keys(), ...listed]),
      (pattern) => this.#put(writing, pattern, modules.get(pattern) ?? ""),
    );
  }

  async #put(
    { tenant_id, by, at_ms }: Writing,
    pattern: string,
    module: string,
  ): Promise<ItemWrite> {
    const { spine, log } = this.#context;
    const one = namedClass(this.#context, tenant_id, pattern);
    const bucket = await spine.keyValue(DEPLOYMENTS_BUCKET);
    const stored = one && await deployed(this.#context, one);
    if (stored?.deployment.current.module === module) return undefined;
    const is_stored = module === "" || stored?.deployment.modules.includes(module) === true;
    return async () => {
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
      await bucket.update([tenant_id, pattern], encodeDeployment(next), stored.revision);
    };
  }
}

/** Reducer deployments as a kind of a tenant's state. */
export const reducersKind = (context: ReducerAdminContext): DocumentKind<StateReducer> =>
  new ReducersKind(context);
