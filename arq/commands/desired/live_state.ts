/** Asks a bus what is in force for a tenant, in the form in which a folder says what is to be. */
import { ArqonError } from "@arqon/proto";
import { askAdmin, streamAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import type { State, StateSchema } from "../../desired/state.ts";
import type { Io } from "../../terminal/io.ts";
import { unpackedHash } from "./read_folder.ts";

/** Who changed one of the two documents last. */
export interface LastChange {
  readonly version: number;
  readonly by: string;
  readonly at_ms: number;
  /** Of policies: what it was, "deploy no-spam". */
  readonly change?: string;
}

/** What is in force, and what an apply is held to. */
export interface LiveState {
  readonly state: State;
  readonly basis: { readonly settings: number; readonly policies: number };
  readonly versions: { readonly settings: LastChange; readonly policies: LastChange };
  /** The last apply; null when there was none. */
  readonly applied: {
    readonly id: string;
    readonly by: string;
    readonly at_ms: number;
    readonly settings_version: number;
    readonly policies_version: number;
  } | null;
  /** The newest version of each schema; those that the bus does not have are missing. */
  readonly schema_versions: ReadonlyMap<string, number>;
  /** Gzipped sets of the schemas in `state`. */
  readonly sets: ReadonlyMap<string, Uint8Array>;
}

const encoded = encodeURIComponent;

/** The path of a tenant's state. */
export const statePath = (tenant: string): string => `/v1/tenants/${encoded(tenant)}/state`;

/** Bytes that the admin API hands out. */
export async function readBytes(io: Io, admin: Admin, path: string): Promise<Uint8Array> {
  const stream = await streamAdmin(io, admin, path);
  return new Uint8Array(
    await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
  );
}

/** A schema with its set; undefined when the bus does not have it. */
export async function readSchema(io: Io, admin: Admin, id: string) {
  try {
    const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/schemas/${encoded(id)}` });
    const version = Number(membersOf(listOf(answer["versions"]).at(-1))["version"]);
    const path = `/v1/schemas/${encoded(id)}/versions/${version}`;
    const bytes = await readBytes(io, admin, path);
    return { version, bytes, compatibility: String(answer["compatibility"]) };
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "schema-unknown") return undefined;
    throw error;
  }
}

/**
 * What is in force for the tenant. Of schemas those that its mappings name, and those in `also`. Throws as
 * `askAdmin` does.
 */
export async function readLive(
  io: Io,
  admin: Admin,
  tenant: string,
  also: readonly string[] = [],
): Promise<LiveState> {
  const answer = await askAdmin(io, admin, { method: "GET", path: statePath(tenant) });
  // The bus gives what it takes, so the members are those of the form.
  const { mappings, basis, versions, applied, ...kinds } = answer as unknown as
    & State
    & Pick<LiveState, "basis" | "versions" | "applied">;
  const ids = new Set([...(mappings ?? []).map(({ schema_id }) => schema_id), ...also]);
  const schemas: StateSchema[] = [];
  const schema_versions = new Map<string, number>();
  const sets = new Map<string, Uint8Array>();
  for (const id of [...ids].sort()) {
    const found = await readSchema(io, admin, id);
    if (found === undefined) continue;
    const { version, bytes, compatibility } = found;
    schemas.push({ id, unpacked_sha256: await unpackedHash(bytes), compatibility });
    schema_versions.set(id, version);
    sets.set(id, bytes);
  }
  const { policies, rooms, mirror, quotas, budgets, require_signature } = kinds;
  const limits = { quotas, budgets, require_signature };
  const state = { policies, schemas, mappings, rooms, mirror, ...limits };
  return { state, basis, versions, applied, schema_versions, sets };
}
