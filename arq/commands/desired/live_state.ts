/**
 * A tenant's state in force on a bus, in the form of a folder's wanted state; what `arq apply` sends for a folder, and
 * what the bus says about it before: `arq plan` asks for that.
 */
import { ArqonError } from "@arqon/proto";
import { type Admin, withQuery } from "../../bus/admin.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { canonicalJson } from "../../../shared/canonical_json.ts";
import type { TenantRoomClass } from "../../../shared/config/schema_durable.ts";
import type { SignatureRule } from "../../../shared/config/schema_auth.ts";
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { KINDS } from "../../desired/form.ts";
import type { Change, Desired, Kind, State, StateSchema } from "../../desired/form.ts";
import type { PlanBasis } from "../../desired/plan_file.ts";
import { schemaPath } from "../schema/schema_push.ts";
import { unpackedHash } from "./read_folder.ts";
import { reducerModulePath } from "../../desired/export_text.ts";

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
  readonly max_frame_bytes: number;
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

/** A folder that is compared with the bus. */
interface Comparison {
  readonly live: LiveState;
  readonly wanted: State;
  readonly changes: readonly Change[];
}

/** A module that the bus does not have yet, and its paths of the admin API. */
interface NewModule {
  readonly body: Uint8Array;
  readonly upload: string;
  readonly check: string;
}

/** The modules that the bus does not have yet. */
export function newModules(
  { tenant, modules }: Pick<Desired, "tenant" | "modules">,
  { live, wanted }: Pick<Comparison, "live" | "wanted">,
): NewModule[] {
  const found: NewModule[] = [];
  const add = (sha256: string, upload: string, pattern?: string) => {
    const body = modules.get(sha256);
    const check = withQuery(`${statePath(tenant)}/modules`, { class: pattern });
    if (body !== undefined) found.push({ body, upload, check });
  };
  const there = new Set((live.state.policies ?? []).map(({ sha256 }) => sha256));
  const named = new Set((wanted.policies ?? []).map(({ sha256 }) => sha256));
  for (const sha256 of named) if (!there.has(sha256)) add(sha256, "/v1/policies/modules");
  // Modules of classes are stored for their class.
  const deployed = new Set((live.state.reducers ?? []).map((one) => `${one.class} ${one.sha256}`));
  for (const one of wanted.reducers ?? []) {
    if (deployed.has(`${one.class} ${one.sha256}`)) continue;
    add(one.sha256, reducerModulePath(tenant, one), one.class);
  }
  return found;
}

/** The lists of the changed kinds except schemas, in the form of requests. */
export function changedLists(wanted: State, changes: readonly Change[]): Record<string, unknown> {
  const isChanged = (kind: Kind) => changes.some((one) => one.kind === kind);
  const changed = KINDS.filter((kind) =>
    kind !== "schemas" && isChanged(kind) ||
    // Other classes of rooms may leave none with their reducer.
    kind === "reducers" && wanted.reducers !== undefined && isChanged("rooms")
  );
  return Object.fromEntries(changed.map((kind) => [kind, listOfKind(wanted, kind)]));
}

/** A list in the form of requests: text that is JSON in a file is a value there. */
function listOfKind(wanted: State, kind: Kind): readonly unknown[] | undefined {
  if (kind !== "schedules") return wanted[kind];
  return wanted.schedules?.map((one) => ({ ...one, message: JSON.parse(one.message) }));
}

/**
 * The refusal that an apply would get; undefined: none. `schemas` come into force before it or with it, and are checked
 * by themselves.
 */
export async function refusalOf(
  admin: Admin,
  desired: Pick<Desired, "tenant" | "modules">,
  compared: Comparison,
  schemas: Iterable<string>,
): Promise<ArqonError | undefined> {
  const lists = changedLists(compared.wanted, compared.changes);
  if (Object.keys(lists).length === 0) return undefined;
  const post = (path: string, body: string | Uint8Array, content_type?: string) =>
    admin.ask({ method: "POST", path, body, ...content_type && { content_type } });
  try {
    for (const { body, check } of newModules(desired, compared)) {
      await post(check, body, "application/wasm");
    }
    const state = JSON.stringify({ ...lists, schemas: [...schemas] });
    await post(`${statePath(desired.tenant)}/check`, state);
    return undefined;
  } catch (error) {
    if (!(error instanceof ArqonError) || error.code >= 500) throw error;
    return error;
  }
}
