/**
 * Which module is to be the program of a class of rooms, where somebody has deployed one: in the bucket
 * `ARQON_REDUCER_DEPLOYS` under `[tenant, pattern of the class]`. What such a module may use is said by
 * `[[reducers]]`. Pure; Shields write it, Brains follow it.
 */
import { z } from "zod";
import { readStored, type StoredAs, storedBytes } from "./stored.ts";

/** The bucket of the documents. */
export const DEPLOYMENTS_BUCKET = "ARQON_REDUCER_DEPLOYS";
/** Previous programs that a rollback can go back to. */
const BEFORE_MAX = 16;

const whole = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const Deployed = z.object({
  /** Hex SHA-256; "": the file of `[[reducers]]`. */
  module: sha256.or(z.literal("")),
  /** Since when, Unix ms; 0: nobody has deployed anything. */
  at_ms: whole,
  by: z.string(),
});

const Members = {
  /** The name in `[[reducers]]` that the class had: where it has another one, nothing is deployed. */
  reducer: z.string(),
  /** Grows by one with each deploy and rollback. */
  number: whole,
  current: Deployed,
  /** The newest first. */
  before: z.array(Deployed),
  /** Every module that is stored for the class, once: those that nobody needs any longer are removed. */
  modules: z.array(sha256),
};
const Document = z.looseObject(Members);

/** A module, and who has put it in force. */
export type DeployedModule = StoredAs<typeof Deployed>;

/** What is deployed to a class of rooms. */
export type ReducerDeployment = StoredAs<z.ZodObject<typeof Members>>;

/** What a class has to which nobody has deployed anything since its reducer has that name. */
export function notDeployed(
  reducer: string,
  { number, modules }: Pick<ReducerDeployment, "number" | "modules"> = { number: 0, modules: [] },
): ReducerDeployment {
  return { reducer, number, current: { module: "", at_ms: 0, by: "" }, before: [], modules };
}

/** A document as bytes. */
export const encodeDeployment: (document: ReducerDeployment) => Uint8Array = storedBytes;

/** The document of bytes; undefined for bytes that are none. Throws `incompatible-version`. */
export const decodeDeployment = (bytes: Uint8Array): ReducerDeployment | undefined =>
  readStored(bytes, Document, "deployed reducer");

/** The same with a module that is about to be stored: who removes modules lets the class not count on it first. */
export const withStored = (before: ReducerDeployment, module: string): ReducerDeployment =>
  before.modules.includes(module) ? before : { ...before, modules: [...before.modules, module] };

/** What is deployed once a module is; "" is the file of `[[reducers]]`, which is not stored for the class. */
export function withModule(before: ReducerDeployment, next: DeployedModule): ReducerDeployment {
  const { reducer, number, current, modules } = before;
  return {
    reducer,
    number: number + 1,
    current: next,
    // The same again is tried by rooms that refused it, and is nothing to go back to.
    before: current.module === next.module
      ? before.before
      : [current, ...before.before].slice(0, BEFORE_MAX),
    modules: next.module === "" || modules.includes(next.module)
      ? modules
      : [...modules, next.module],
  };
}

/** What is deployed once the last deploy is taken back; undefined: there is none. */
export function withoutLast(
  { reducer, number, before: [last, ...before], modules }: ReducerDeployment,
  { at_ms, by }: Pick<DeployedModule, "at_ms" | "by">,
): ReducerDeployment | undefined {
  if (last === undefined) return undefined;
  const current = { module: last.module, at_ms, by };
  return { reducer, number: number + 1, current, before, modules };
}
