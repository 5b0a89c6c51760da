/** Reads a tenant's state in force from a bus, in the form of a folder's wanted state. */
import { ArqonError } from "@arqon/proto";
import type { Admin } from "../../bus/admin.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { canonicalJson } from "../../../shared/canonical_json.ts";
import type { TenantRoomClass } from "../../../shared/config/schema_durable.ts";
import type { SignatureRule } from "../../../shared/config/schema_auth.ts";
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { KINDS, type State, type StateSchema } from "../../desired/form.ts";
import type { PlanBasis } from "../../desired/plan_file.ts";
import { schemaPath } from "../schema/schema_push.ts";
import { unpackedHash } from "./read_folder.ts";

/** Who changed one of the two documents last. */
export interface LastChange {
  readonly version: number;
  readonly by: string;
  readonly at_ms: number;
  /** Of policies: the change, "deploy no-spam". */
  readonly change?: string;
}

/** The state in force, with the revisions that an apply requires. */
export interface LiveState {
  readonly state: State;
  readonly basis: PlanBasis["basis"];
  /** The active rollout; null: there is none. */
  readonly rollout: ReturnType<typeof rolloutOf>;
  readonly versions: { readonly settings: LastChange; readonly policies: LastChange };
  /** The last apply; null when there was none. */
  readonly applied: {
    readonly id: string;
    readonly by: string;
    readonly at_ms: number;
    readonly settings_version: number;
    readonly policies_version: number;
  } | null;
  /** What the Shield's configuration adds. */
  readonly configuration: Configuration;
  /** The newest version of each schema; schemas that the bus does not have are absent. */
  readonly schema_versions: ReadonlyMap<string, number>;
  /** Gzipped sets of the schemas in `state`. */
  readonly sets: ReadonlyMap<string, Uint8Array>;
}

/** What the configuration of a Shield adds to a tenant's state. */
export interface Configuration {
  readonly mappings: readonly SchemaMapping[];
  readonly require_signature: readonly SignatureRule[];
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
  readonly journals: readonly Pick<TenantRoomClass, "room" | "journal" | "journal_share">[];
}

const encoded = encodeURIComponent;

/** The path of a tenant's state. */
export const statePath = (tenant: string): string => `/v1/tenants/${encoded(tenant)}/state`;

/** The tenants that have any settings. Throws as `Admin.ask` does. */
export async function tenantsOf(admin: Admin): Promise<string[]> {
  const { tenants } = await admin.get("/v1/state");
  return listOf(tenants).map(String);
}

/** A schema with its set; undefined when the bus does not have it. */
export async function readSchema(admin: Admin, id: string) {
  try {
    const answer = await admin.get(schemaPath(id));
    const version = Number(membersOf(listOf(answer["versions"]).at(-1))["version"]);
    const bytes = await admin.bytes(schemaPath(id, `/versions/${version}`));
    return { version, bytes, compatibility: String(answer["compatibility"]) };
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "schema-unknown") return undefined;
    throw error;
  }
}

/** The tenant's state in force, with the schemas named by its mappings or `also`. Throws as `Admin.ask` does. */
export async function readLive(
  admin: Admin,
  tenant: string,
  also: readonly string[] = [],
): Promise<LiveState> {
  const answer = await admin.get(statePath(tenant));
  const { basis, versions, applied, configuration } = answer as unknown as Pick<
    LiveState,
    "basis" | "versions" | "applied" | "configuration"
  >;
  const kinds = kindsOf(answer);
  const mapped = kinds.mappings?.map(({ schema_id }) => schema_id) ?? [];
  const ids = new Set([...mapped, ...also]);
  const schemas: StateSchema[] = [];
  const schema_versions = new Map<string, number>();
  const sets = new Map<string, Uint8Array>();
  for (const id of [...ids].sort()) {
    const found = await readSchema(admin, id);
    if (found === undefined) continue;
    const { version, bytes, compatibility } = found;
    schemas.push({ id, unpacked_sha256: await unpackedHash(bytes), compatibility });
    schema_versions.set(id, version);
    sets.set(id, bytes);
  }
  const rollout = rolloutOf(answer["rollout"]);
  const state = { ...kinds, schemas };
  return { state, basis, rollout, versions, applied, configuration, schema_versions, sets };
}

/** The lists of an answer. The bus returns what it accepts, so the members have the right form. */
function kindsOf(answer: Readonly<Record<string, unknown>>): Omit<State, "schemas"> {
  const lists = Object.fromEntries(
    KINDS.filter((kind) => kind !== "schemas").map((kind) => [kind, answer[kind]]),
  ) as unknown as Omit<State, "schemas">;
  const schedules = lists.schedules?.map((one) => ({
    ...one,
    message: canonicalJson(one.message),
  }));
  return { ...lists, schedules };
}

function rolloutOf(answer: unknown) {
  if (typeof answer !== "object" || answer === null) return null;
  const { id, by, brings } = membersOf(answer);
  const lists = membersOf(brings);
  const schemas = listOf(lists["schemas"]).map((one) => String(membersOf(one)["schema_id"]));
  const given = Object.entries(kindsOf(lists)).filter(([, list]) => list !== undefined);
  return {
    id: String(id),
    by: String(by),
    /** The state that its last step puts in force; undefined kinds stay. */
    brings: Object.fromEntries(given) as Partial<State>,
    /** Schemas that get a new version. */
    schemas,
  };
}
