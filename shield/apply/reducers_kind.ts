/**
 * Modules that are deployed to classes of rooms, as a kind of a tenant's state. A class that is not in the list has the
 * file of the configuration. Modules are stored before, as for a deploy.
 */
import { ArqonError } from "@arqon/proto";
import {
  decodeDeployment,
  DEPLOYMENTS_BUCKET,
  encodeDeployment,
  withModule,
} from "../../shared/records/reducer_deployment.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import { deployed, deployedClasses, namedClass } from "../reducers/api.ts";
import type { ReducerAdminContext } from "../reducers/api.ts";
import { StateReducer } from "./documents.ts";
import type { DocumentKind, Writing } from "./documents.ts";

/** The kind. */
export function reducersKind(context: ReducerAdminContext): DocumentKind<StateReducer> {
  const { spine, log } = context;

  async function list(tenant_id: string): Promise<StateReducer[]> {
    const found: StateReducer[] = [];
    for (const one of deployedClasses(context, tenant_id)) {
      const { deployment: { current: { module } } } = await deployed(context, one);
      if (module !== "") found.push({ class: one.pattern, sha256: module });
    }
    return found;
  }

  /** Throws for a class without a reducer, and for a module that was not stored for it. */
  async function require(tenant_id: string, wanted: readonly StateReducer[]): Promise<void> {
    for (const { class: pattern, sha256 } of wanted) {
      const one = namedClass(context, tenant_id, pattern);
      if (one === undefined) {
        const detail = `reducers: tenant ${tenant_id} has no class of rooms ${pattern} with one`;
        throw new ArqonError("invalid-settings", detail);
      }
      const { deployment: { modules } } = await deployed(context, one);
      if (modules.includes(sha256)) continue;
      const detail = `reducers: module ${sha256} is not stored for ${pattern}; upload it first`;
      throw new ArqonError("invalid-settings", detail);
    }
  }

  async function put(
    { tenant_id, by, at_ms, isPending }: Writing,
    pattern: string,
    module: string,
  ): Promise<void> {
    const one = namedClass(context, tenant_id, pattern);
    const bucket = await spine.keyValue(DEPLOYMENTS_BUCKET);
    await changeDocument(async (mayLose) => {
      const { deployment, revision } = one === undefined
        ? { deployment: undefined, revision: 0 }
        : await deployed(context, one);
      if (deployment?.current.module === module || !await isPending()) return;
      if (deployment === undefined || module !== "" && !deployment.modules.includes(module)) {
        // Nothing brings it back: the tenant's settings must not wait for it for ever.
        log.error("a reducer of an apply cannot be deployed", {
          tenant_id,
          class: pattern,
          module,
        });
        return;
      }
      const next = withModule(deployment, { module, at_ms, by });
      await mayLose(bucket.update([tenant_id, pattern], encodeDeployment(next), revision));
    });
  }

  return {
    entry: StateReducer,
    off: undefined,
    list,
    require,
    async tenants() {
      const bucket = await spine.keyValue(DEPLOYMENTS_BUCKET);
      const found = [];
      for (const key of await bucket.keys()) {
        const entry = await bucket.get(key);
        const deployment = entry && decodeDeployment(entry.value);
        if (deployment !== undefined && deployment.current.module !== "") found.push(key[0] ?? "");
      }
      return found;
    },
    async check(tenant_id, wanted) {
      await require(tenant_id, wanted);
      return [...wanted];
    },
    async write(writing, wanted) {
      const names = new Set(wanted.map((one) => one.class));
      for (const { class: pattern } of await list(writing.tenant_id)) {
        if (!names.has(pattern)) await put(writing, pattern, "");
      }
      for (const { class: pattern, sha256 } of wanted) await put(writing, pattern, sha256);
    },
  };
}
