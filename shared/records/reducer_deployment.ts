/**
 * The module deployed to a class of rooms: in the bucket `ARQON_REDUCER_DEPLOYS` under `[tenant, pattern of the
 * class]`. `[[reducers]]` sets the module's limits. Pure; Shields write it, Brains follow it.
 */
import { z } from "zod";
import { readStored, type StoredAs, storedBytes } from "./stored.ts";

/** The bucket of the documents. */
export const DEPLOYMENTS_BUCKET = "ARQON_REDUCER_DEPLOYS";
/** Previous programs available to a rollback. */
const BEFORE_MAX = 16;

const whole = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const Deployed = z.object({
  /** Hex SHA-256; "": the file of `[[reducers]]`. */
  module: sha256.or(z.literal("")),
  /** When it was deployed, Unix ms; 0: never. */
  at_ms: whole,
  by: z.string(),
});

const Members = {
  /** The class's name in `[[reducers]]`; with another name the deployment does not apply. */
  reducer: z.string(),
  /** Grows by one with each deploy and rollback. */
  number: whole,
  current: Deployed,
  /** Newest first. */
  before: z.array(Deployed),
  /** Every module that is stored for the class, once each: unused ones are removed. */
  modules: z.array(sha256),
};
const Document = z.looseObject(Members);

type DeployedModule = StoredAs<typeof Deployed>;

/** The deployment of a class of rooms. */
export type ReducerDeployment = StoredAs<z.ZodObject<typeof Members>>;

/** The document of a class without a deployment under that name. */
export function notDeployed(
  reducer: string,
  { number, modules }: Pick<ReducerDeployment, "number" | "modules"> = { number: 0, modules: [] },
): ReducerDeployment {
  return { reducer, number, current: { module: "", at_ms: 0, by: "" }, before: [], modules };
}

/** The stored form: JSON. */
export const encodeDeployment: (document: ReducerDeployment) => Uint8Array = storedBytes;

/** Decodes a document; undefined for any other bytes. Throws `incompatible-version`. */
export const decodeDeployment = (bytes: Uint8Array): ReducerDeployment | undefined =>
  readStored(bytes, Document, "deployed reducer");

/** The document with a module that is about to be stored: removal drops a module from the list before it deletes it. */
export const withStored = (before: ReducerDeployment, module: string): ReducerDeployment =>
  before.modules.includes(module) ? before : { ...before, modules: [...before.modules, module] };

/** The document after a deploy; "" is the file of `[[reducers]]`, which is not stored for the class. */
export function withModule(before: ReducerDeployment, next: DeployedModule): ReducerDeployment {
  const { reducer, number, current, modules } = before;
  return {
    reducer,
    number: number + 1,
    current: next,
    // Deploying the same module again makes rooms that refused it retry, and adds no step for a rollback.
    before: current.module === next.module
      ? before.before
      : [current, ...before.before].slice(0, BEFORE_MAX),
    modules: next.module === "" || modules.includes(next.module)
      ? modules
      : [...modules, next.module],
  };
}

/** The document after a rollback; undefined: there is nothing to roll back. */
export function withoutLast(
  { reducer, number, before: [last, ...before], modules }: ReducerDeployment,
  { at_ms, by }: Pick<DeployedModule, "at_ms" | "by">,
): ReducerDeployment | undefined {
  if (last === undefined) return undefined;
  const current = { module: last.module, at_ms, by };
  return { reducer, number: number + 1, current, before, modules };
}
